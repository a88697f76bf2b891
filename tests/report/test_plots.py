"""Pictures as inline SVG."""

import re

import pytest

from gan_jax.report.plots import Trace, draw, points_each
from gan_jax.report.stats import curve


def line(values, number=0):
    return Trace(curve([dict(enumerate(values)), dict(enumerate(values))]), number, 7)


def texts(svg):
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_a_picture_takes_its_colours_and_ids_from_the_page():
    svg = draw([line([1.0, 2.0, 3.0]), line([0.5, 0.1, 0.2], 31)], 'a"<b>', "t4")
    assert "var(--s0)" in svg and "var(--s31)" in svg and "var(--rule)" in svg
    assert "#0" not in svg.replace("#t4-", "") and "font-family" not in svg
    assert all(name.startswith("t4-") for name in re.findall(r' id="([^"]+)"', svg))
    assert set(re.findall(r"url\(#([^)]+)\)", svg)) <= set(
        re.findall(r' id="([^"]+)"', svg)
    )
    assert 'aria-label="a&quot;&lt;b>"' in svg
    assert svg.count('class="line of-7"') == svg.count('class="band of-7"') == 2


@pytest.mark.parametrize(
    ("values", "logarithmic"),
    [
        ([1.0, 50.0, 99.0], False),
        ([1e-4, 1.0, 1e4], True),
        ([-1.0] * 40 + [2.0] * 40 + [1e9], True),
        ([-1.0, 2.0, 3.0], False),
    ],
)
def test_wide_values_have_a_logarithmic_axis(values, logarithmic):
    numbers = [
        float(t.replace(",", "").replace("\N{MINUS SIGN}", "-"))
        for t in texts(draw([line(values)], "x", "p"))
        if t[-1] not in "kM"
    ]
    heights = numbers[next(i for i in range(1, 99) if numbers[i] < numbers[i - 1]) :]
    gaps = [b - a for a, b in zip(heights, heights[1:], strict=False)]
    assert (max(gaps) > 5 * min(gaps)) == logarithmic


def test_tick_labels_keep_their_digits():
    found = texts(draw([line([0.0512, 0.0514])], "x", "p"))
    assert "0.0512" in found or "0.05120" in found or "0.0513" in found


def test_many_lines_have_fewer_points_each():
    assert points_each(1) == 400 and points_each(25) == 320 and points_each(500) == 40
