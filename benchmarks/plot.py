"""Ratios of a results file as a bar chart.

python -m benchmarks.plot results.json [--only=step] --out=docs/images/benchmarks.svg
"""

import argparse
import io
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from benchmarks.timing import Row, read, short

WIDTH, BAR, HEAD = 9.0, 0.2, 0.9  # inches: of all, of a bar, of title and axis
COLOURS = {"gan_jax": "#2a78b8", "PyTorch": "#d9822b"}  # by how a way's name begins
OTHER = "#8a8a8a"
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "gan_jax",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,
}


def title_of(row: Row) -> str:
    """Of the rows that have one base."""
    batch = f"batch {row.batch}" if row.batch else ""
    return ", ".join(filter(None, (row.case, batch, row.precision)))


def bars(axes: Axes, rows: Sequence[Row]) -> None:
    """A bar a row from 1 to its ratio, with a gap between cases, on a logarithmic axis."""
    place, ticks = 0.0, []
    for title, ways in groupby(rows, title_of):
        axes.text(-0.01, place, title, ha="right", weight="bold", transform=mixed(axes))
        for row in ways:
            place += 1
            begins = (x for name, x in COLOURS.items() if row.way.startswith(name))
            colour = next(begins, OTHER)
            axes.barh(place, row.ratio - 1, 0.8, left=1, color=colour)
            side = "left" if row.ratio >= 1 else "right"
            axes.annotate(
                short(row.ratio),
                (row.ratio, place),
                (3 if side == "left" else -3, 0),
                textcoords="offset points",
                ha=side,
                va="center",
            )
            ticks.append((place, row.way))
        place += 1.5
    axes.set_yticks(*zip(*ticks, strict=True))
    axes.set_ylim(place - 0.5, -1)
    axes.set_xscale("log")
    axes.margins(x=0.12)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def mixed(axes: Axes) -> Any:
    """x as a share of the axes, y as data."""
    return axes.get_yaxis_transform()


def chart(rows: Sequence[Row], about: dict[str, Any], groups: Sequence[str]) -> str:
    """An SVG file of some groups, the same bytes for the same numbers. SystemExit where they have no rows."""
    parts = {g: [row for row in rows if row.group == g] for g in groups}
    if not all(parts.values()):
        raise SystemExit(f"no rows of {[g for g, part in parts.items() if not part]}")
    heights = [
        HEAD + BAR * (len(part) + 1.5 * len({title_of(row) for row in part}))
        for part in parts.values()
    ]
    with matplotlib.rc_context(STYLE):
        figure = Figure((WIDTH, sum(heights)), layout="constrained", facecolor="white")
        frames = figure.subplots(len(parts), height_ratios=heights, squeeze=False)
        for axes, (group, part) in zip(frames.flat, parts.items(), strict=True):
            bars(axes, part)
            base = {row.base for row in part}
            axes.set_xlabel(f"{group}: times as fast as {' / '.join(sorted(base))}")
        machine = about["machine"]
        told = f"{machine['cpu']}, cores: {machine['cores']}; {machine['device']}"
        figure.suptitle(told)
        out = io.StringIO()
        blank = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        FigureCanvasSVG(figure).print_svg(out, metadata=blank)
    return out.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("results")
    parser.add_argument("--only", default="step", help="groups, with commas")
    parser.add_argument("--out", default="docs/images/benchmarks.svg")
    args = parser.parse_args()
    Path(args.out).write_text(chart(*read(args.results), args.only.split(",")))


if __name__ == "__main__":
    main()
