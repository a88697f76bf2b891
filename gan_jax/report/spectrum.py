"""Eigenvalues in the complex plane, a panel for each checkpoint."""

import io
from collections.abc import Mapping

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_PANEL = 3.4  # inches
_COLOURS = "#b5442e", "#1f5ac8"  # repels, attracts


def draw(spectra: Mapping[str, np.ndarray]) -> bytes:
    """A PNG of eigenvalues, complex [k] by the title of their panel.

    Attraction to the right, in blue, repulsion to the left, in red; rotation upwards and downwards. Both axes are linear up
    to a hundredth of the largest part and logarithmic beyond, and the same in all panels.
    """
    figure = Figure(figsize=(_PANEL * len(spectra), _PANEL), layout="constrained")
    panels = figure.subplots(1, len(spectra), squeeze=False, sharex=True, sharey=True)
    parts = [np.abs([x.real, x.imag]).max() for x in spectra.values() if len(x)]
    most = max(parts, default=0.0) or 1.0
    for axes, (title, values) in zip(panels[0], spectra.items(), strict=True):
        colours = [_COLOURS[int(value.real > 0)] for value in values]
        axes.axhline(0.0, color="#bbbbbb", linewidth=0.6)
        axes.axvline(0.0, color="#bbbbbb", linewidth=0.6)
        axes.scatter(values.real, values.imag, s=14, c=colours, alpha=0.7)
        for scale in (axes.set_xscale, axes.set_yscale):
            scale("symlog", linthresh=most / 100)
        for limit in (axes.set_xlim, axes.set_ylim):
            limit(-1.5 * most, 1.5 * most)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("Re: attraction", fontsize=9)
        axes.tick_params(labelsize=7)
    panels[0][0].set_ylabel("Im: rotation", fontsize=9)
    out = io.BytesIO()
    FigureCanvasAgg(figure).print_png(out, metadata={"Software": None})
    return out.getvalue()
