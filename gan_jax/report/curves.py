"""The section of curves: a panel for each family of metrics, a line for each setting."""

from collections.abc import Callable, Sequence
from typing import Any

from gan_jax.report.gather import Run
from gan_jax.report.markup import Html, section, tag
from gan_jax.report.plots import Trace, draw, points_each
from gan_jax.report.settings import Setting
from gan_jax.report.stats import Curve, Series, curve, lines_of, series_of
from gan_jax.rows import of_layer

_BANDS = 6  # more settings than this show a band only when they are picked out
FAMILIES = {
    "loss": "Losses",
    "disc/real": "D of real and of generated",
    "disc/fake": "D of real and of generated",
    "disc/held_out": "D of real and of generated",
    "logit": "Mean logits of D",
    "disc/accuracy": "Accuracy of D",
    "disc/accuracy_real": "Accuracy of D",
    "disc/accuracy_fake": "Accuracy of D",
    "diversity": "Diversity of samples, as shares of the data's",
    "game": "The game: rotation, attraction",
    "cosine": "Cosines of successive slopes",
    "update": "Updates by weights",
    "grad": "Gradient norms",
    "grad/gen/": "Gradient norms of G's layers",
    "grad/disc/": "Gradient norms of D's layers",
    "weight": "Norms of weights",
    "spectral/gen/": "Spectral norms of G's layers",
    "spectral/disc/": "Spectral norms of D's layers",
    "sparsity": "Activations of the first layers that are off",
    "dead": "Channels of the first layers that are dead",
    "penalty": "Penalties, unweighted",
    "images_per_s": "Speed",
}
Read = Callable[[list[Run]], Curve | None]


def training(settings: Sequence[Setting]) -> Html | None:
    """The section of metrics.jsonl; None where nothing was logged."""
    runs = [run for setting in settings for run in setting.runs]
    names = dict.fromkeys(name for run in runs for name in run.metrics)
    families: dict[str, list[str]] = {title: [] for title in FAMILIES.values()}
    for name in names:
        # of each layer there would be a picture where there are several settings
        if name != "seconds" and not (of_layer(name) and settings[1:]):
            families.setdefault(_family(name), []).append(name)
    most = points_each(len(settings))
    panels = []
    for title, members in families.items():
        reads = {name: _metric(name, most) for name in members}
        figures = _figures(settings, reads, f"t{len(panels)}")
        if figures:
            row = tag("div", figures, class_="figures")
            wide = min(len(figures), 3)
            panels.append(tag("div", tag("h3", title), row, class_=f"panel w{wide}"))
    if not panels:
        return None
    return section(
        "Training",
        "training",
        _note(settings),
        _legend(settings),
        tag("div", panels, class_="panels"),
    )


def evaluation(settings: Sequence[Setting], label: Callable[[Series], str]) -> Html:
    """Curves of what was evaluated at two steps or more, with their legend; nothing where there is none."""
    runs = [run for setting in settings for run in setting.runs]
    reads: dict[str, Read] = {}
    for series in series_of(runs):
        steps = {step for line in lines_of(runs, series) for step in line}
        if len(steps) > 1:
            reads[label(series)] = _evaluated(series)
    figures = [
        _figures(settings, {name: read}, f"e{i}")
        for i, (name, read) in enumerate(reads.items())
    ]
    if not any(figures):
        return Html("")
    row = tag("div", figures, class_="figures")
    return tag("div", _legend(settings), row, class_="panel")


def colours(settings: Sequence[Setting]) -> str:
    """CSS variables --s0, --s1, ...: a hue for each line, far apart when they are few, in order when many."""
    few = [255, 45, 150, 310, 95, 200, 10, 130]
    count = max(len(settings), len(few))
    hues = few if count == len(few) else [30 + 290 * i // count for i in range(count)]
    rows = [f"--s{i}:oklch(var(--light) .14 {hue})" for i, hue in enumerate(hues)]
    return f":root{{{';'.join(rows)}}}"


def _family(name: str) -> str:
    """The title of the panel that a metric is in."""
    front, last = name.partition("/")[0], name.rpartition("/")[2]
    group = name.removesuffix(last) if of_layer(name) else front
    return FAMILIES.get(name, FAMILIES.get(group, group))


def _metric(name: str, most: int) -> Read:
    return lambda runs: curve([run.metrics.get(name, {}) for run in runs], most)


def _evaluated(series: Series) -> Read:
    return lambda runs: curve(lines_of(runs, series))


def _figures(
    settings: Sequence[Setting], reads: dict[str, Read], name: str
) -> list[Html]:
    """One picture of all metrics where there is one setting, else one picture for each metric."""
    found: dict[str, list[tuple[int, Curve]]] = {}
    for metric, read in reads.items():
        lines = [(s.number, read(s.runs)) for s in settings]
        drawn = [(i, line) for i, line in lines if line is not None]
        if drawn:
            found[metric] = drawn
    if len(settings) == 1 and found:
        only = [line for ((_, line),) in found.values()]
        traces = [Trace(line, i % 8, i) for i, line in enumerate(only)]
        swatches = [_swatch(i % 8, metric) for i, metric in enumerate(found)]
        return [_picture(traces, swatches, ", ".join(found), name)]
    return [
        _picture(
            [Trace(line, i, i) for i, line in lines], [metric], metric, f"{name}{k}"
        )
        for k, (metric, lines) in enumerate(found.items())
    ]


def _picture(traces: list[Trace], caption: list[Any], label: str, name: str) -> Html:
    n = max(trace.curve.n for trace in traces)
    if n > 1:
        caption = [*caption, tag("span", f"n = {n}", class_="n")]
    text = f"{label} over steps, {len(traces)} lines, n = {n}"
    return tag("figure", tag("figcaption", caption), draw(traces, text, name))


def _swatch(colour: int, text: str) -> Html:
    dot = tag("i", style=f"background:var(--s{colour})")
    return tag("span", dot, text, class_="swatch")


def _legend(settings: Sequence[Setting]) -> Html | None:
    """A button for each setting: it picks out its lines."""
    if len(settings) == 1:
        return None
    chips = [
        tag(
            "button",
            _swatch(setting.number, f"{setting.label} (n {len(setting.runs)})"),
            type="button",
            aria_pressed="false",
            data_setting=setting.number,
        )
        for setting in settings
    ]
    many = "legend many" if len(settings) > _BANDS else "legend"
    return tag("div", chips, class_=many, role="group", aria_label="Pick out settings")


def _note(settings: Sequence[Setting]) -> Html:
    most = max(len(setting.runs) for setting in settings)
    words = ["Each point is one step's own value."]
    if most > 1:
        words.append(
            "Line: mean over seeds; band: smallest to largest; n: seeds. A seed that ended early leaves the mean there; "
            "steps of fewer than half of the seeds are left out."
        )
    if len(settings) > 1:
        words.append("Press settings to pick them out.")
    if len(settings) > _BANDS:
        words.append("Bands are drawn for those picked.")
    words.append("Long curves keep the extremes of each interval.")
    return tag("p", " ".join(words), class_="note")
