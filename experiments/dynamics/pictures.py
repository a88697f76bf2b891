"""The ways of games of two numbers, a panel each."""

import io
from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "gan_jax",
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,
}
SIDE, ACROSS = 2.1, 4  # inches of a panel, panels in a row


def draw(ways: Mapping[str, np.ndarray], names: tuple[str, str], path: Path) -> None:
    """Write an SVG: each way [steps + 1, 2] from its start (open circle) to its end (full), (0, 0) being the solution."""
    down = -(-len(ways) // ACROSS)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(SIDE * ACROSS, SIDE * down), layout="constrained")
        panels = figure.subplots(down, ACROSS, squeeze=False, sharex=True, sharey=True)
        for axes in panels.ravel()[len(ways) :]:
            axes.set_visible(False)
        for axes, (title, way) in zip(panels.ravel(), ways.items(), strict=False):
            axes.plot([0], [0], "+", color="#b5442e", markersize=9)
            axes.plot(*way.T, "-", color="#1f5ac8", linewidth=0.7)
            axes.plot(*way[0], "o", color="#1f5ac8", fillstyle="none", markersize=5)
            axes.plot(*way[-1], "o", color="#1f5ac8", markersize=4)
            axes.set_title(title, fontsize=8)
            axes.set_xlim(-2.6, 2.6)
            axes.set_ylim(-2.6, 2.6)
            axes.set_aspect("equal")
        for axes in panels[:, 0]:
            axes.set_ylabel(names[1])
        for axes in panels[-1]:
            axes.set_xlabel(names[0])
        out = io.StringIO()
        blank = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        FigureCanvasSVG(figure).print_svg(out, metadata=blank)
    path.write_text(out.getvalue())
