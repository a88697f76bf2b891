"""The figure of an experiment: every seed, and means with their intervals."""

import io
from pathlib import Path

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from experiments.ablation.estimate import mean
from gan_jax.files import write_atomic

PANEL, LABELS, LINE, HEAD = 2.4, 2.0, 0.2, 0.6  # inches
TICKS = 4  # numbers under a panel, about
RANGE = 100  # values that span more are drawn on a logarithmic axis
SEEDS, MEAN = "#9db8cf", "#1f4e79"
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "gan_jax",
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,
}


def draw(
    path: Path, values: dict[str, dict[str, list[float]]], measures: tuple[str, ...]
) -> None:
    """Write an SVG: a panel a measure, a line a setting. values: setting -> measure -> values over seeds."""
    size = LABELS + PANEL * len(measures), HEAD + LINE * len(values)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
        for axes, measure in zip(panels, measures, strict=True):
            panel(axes, [own.get(measure, []) for own in values.values()])
            axes.set_title(measure, fontsize=8)
        panels[0].set_yticks(range(len(values)), list(values))
        panels[0].set_ylim(len(values) - 0.5, -0.5)
        text = io.BytesIO()
        FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None})
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text.getvalue())


def panel(axes: matplotlib.axes.Axes, columns: list[list[float]]) -> None:
    """One measure: the seeds of each setting as dots, their mean as a dash with its interval."""
    for place, seeds in enumerate(columns):
        if not seeds:
            continue
        middle = mean(seeds)
        axes.plot(seeds, [place] * len(seeds), ".", color=SEEDS, markersize=5)
        axes.errorbar(
            middle.mean,
            place,
            xerr=middle.half or 0.0,
            fmt="|",
            color=MEAN,
            capsize=2,
            elinewidth=1,
        )
    every = [x for seeds in columns for x in seeds]
    if every and min(every) > 0 and max(every) > RANGE * min(every):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(numticks=TICKS))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(TICKS))
    axes.tick_params(length=2)
    axes.grid(axis="x", linewidth=0.3)
