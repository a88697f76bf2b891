"""Curves as inline SVG: no text from files, no ids shared between pictures, colours from the page's CSS."""

import io
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from gan_jax.report.markup import Html, number
from gan_jax.report.stats import Curve

_SIZE = 5.0, 3.0  # inches of 72 units
_INK, _GRID = "#010203", "#010204"  # stand for the page's own colours
_POINTS = 8000  # of one picture, all its lines together
_RANGE = 100  # values that span more are drawn on a logarithmic axis
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "gan_jax",
    "font.size": 10.5,
    "axes.edgecolor": _GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.use_mathtext": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "text.parse_math": False,
}


class Trace(NamedTuple):
    """A line of a picture: its curve, the number of its colour, and the setting that a click picks out."""

    curve: Curve
    colour: int
    setting: int


def points_each(lines: int) -> int:
    """Points of one of so many lines."""
    return int(np.clip(_POINTS // max(lines, 1), 40, 400))


def draw(traces: Sequence[Trace], label: str, name: str) -> Html:
    """Draw lines and their bands over steps. label: what a screen reader says; name: begins every id."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=_SIZE, layout="constrained")
        figure.patch.set_visible(False)
        axes = figure.add_subplot()
        axes.patch.set_visible(False)
        axes.grid(axis="y")
        axes.tick_params(length=0)
        for trace in traces:
            _line(axes, trace)
        _scale(axes, traces)
        out = io.StringIO()
        blank = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        FigureCanvasSVG(figure).print_svg(out, metadata=blank)
    return _inline(out.getvalue(), label, name)


def _line(axes: Axes, trace: Trace) -> None:
    curve, colour = trace.curve, _code(trace.colour)
    if curve.n > 1:
        around = np.concatenate([curve.steps, curve.steps[::-1]])
        edge = np.concatenate([curve.low, curve.high[::-1]])
        (band,) = axes.fill(around, edge, facecolor=colour, alpha=0.18, linewidth=0)
        band.set_gid(f"band-{trace.setting}")
        band.set_in_layout(False)  # clipped to the axes; measuring it takes long
    single = {"marker": "o", "markersize": 4} if len(curve.steps) < 3 else {}
    (line,) = axes.plot(curve.steps, curve.mean, color=colour, linewidth=1.5, **single)
    line.set_gid(f"line-{trace.setting}")
    line.set_in_layout(False)


def _scale(axes: Axes, traces: Sequence[Trace]) -> None:
    """Ticks as plain text; a logarithmic axis where values span two powers of ten.

    Where some are not positive, the axis is linear up to what 90 % of the points stay below.
    """
    axes.margins(x=0.01)
    low = min(float(trace.curve.low.min()) for trace in traces)
    high = max(float(trace.curve.high.max()) for trace in traces)
    if low > 0 and high / low > _RANGE:
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())
    usual = float(np.quantile(np.abs([x for t in traces for x in t.curve.mean]), 0.9))
    if low <= 0 and max(high, -low) > _RANGE * usual > 0:
        axes.set_yscale("symlog", linthresh=usual)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(_steps))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: number(float(y), 3)))


def _steps(step: float, _: Any) -> str:
    """A step as 500, 10k, 1.5M."""
    for size, end in ((1_000_000, "M"), (1000, "k")):
        if abs(step) >= size:
            return f"{step / size:g}{end}"
    return f"{step:g}"


def _code(colour: int) -> str:
    """The colour that stands for the page's variable --s<colour> until the SVG is written."""
    return f"#02{colour:04x}"


def _inline(text: str, label: str, name: str) -> Html:
    """An SVG file as an element of the page."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.S)
    text = re.sub(r"<!--.*?-->\n?", "", text, flags=re.S)
    text = re.sub(r'id="(line|band)-(\d+)"', r'class="\1 of-\2"', text)
    used = set(re.findall(r'(?:url\(|href=")#([^)"]+)', text))
    text = re.sub(
        r' id="([^"]+)"',
        lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "",
        text,
    )
    text = re.sub(r'(url\(|href=")#', rf"\1#{name}-", text)
    text = text.replace(_INK, "var(--quiet)").replace(_GRID, "var(--rule)")
    text = re.sub(r"#02([0-9a-f]{4})", lambda m: f"var(--s{int(m[1], 16)})", text)
    text = re.sub(r" font-family: [^;]*;|<g/>", "", text)
    text = re.sub(r' (?:d|x|y|transform)="[^"]*"', _rounded, text)
    text = re.sub(r"\s+", " ", text)
    head = f'<svg class="plot" role="img" aria-label="{_quoted(label)}" viewBox="0 0 {_SIZE[0] * 72:g} {_SIZE[1] * 72:g}">'
    return Html(head + text[text.index(">") + 1 :].strip())


def _rounded(attribute: re.Match[str]) -> str:
    """Coordinates to a tenth of a unit."""
    return re.sub(r"(\d+\.\d)\d+", r"\1", attribute[0])


def _quoted(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
