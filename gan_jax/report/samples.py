"""Sample grids side by side, with one slider for the steps of all."""

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from gan_jax.report.gather import Run, whole_png
from gan_jax.report.markup import Html, section, tag
from gan_jax.report.settings import Setting

STEPS = 12  # most pictures of a run
_RUNS = 24  # of more than these only the first of each setting is shown
BUDGET = 13_000_000  # bytes of pictures, which a data URI makes a third longer


def pictures(settings: Sequence[Setting], budget: int = BUDGET) -> Html | None:
    """The section; None where no run has a picture. At most STEPS of a run's pictures and `budget` bytes in all."""
    runs = [run for setting in settings for run in setting.runs if run.samples]
    if not runs:
        return None
    shown, steps = _fitting(settings, budget)
    several = len({setting.number for setting in settings}) > 1
    names = {
        run.name: f"{run.name}: {setting.label}" if several else run.name
        for setting in settings
        for run in setting.runs
    }
    damaged: list[str] = []
    figures = [_figure(names[run.name], run, steps, damaged) for run in shown]
    every = sorted({step for run in runs for step in run.samples})
    words = [f"The same latents at every step. Shown: {len(shown)} of {len(runs)} runs"]
    if len(shown) < len(runs):
        words.append(", at most one of each setting")
    some = f"{len(steps)} of {len(every)} steps, evenly picked"
    words.append(f"; {some if len(steps) < len(every) else f'all {len(steps)} steps'}.")
    if damaged:
        words.append(f" Damaged and left out: {', '.join(damaged)}.")
    last = len(steps) - 1
    slider = tag(
        "input",
        id="step",
        type="range",
        min=0,
        max=last,
        value=last,
        step=1,
        data_steps=" ".join(f"{step:,}" for step in steps),
        aria_valuetext=f"step {steps[-1]:,}",
    )
    label = tag("label", "Step ", tag("output", f"{steps[-1]:,}", for_="step"))
    control = tag("div", tag("span", label), slider, class_="slider")
    note = tag("p", words, class_="note")
    grids = tag("div", figures, class_="grids")
    return section("Samples", "samples", note, control if last else None, grids)


def _fitting(settings: Sequence[Setting], budget: int) -> tuple[list[Run], list[int]]:
    """The richest choice of runs and steps whose files fit."""
    for runs, most in _choices(settings):
        every = sorted({step for run in runs for step in run.samples})
        steps = _evenly(every, most)
        paths = {path for run in runs for path in _at(run, steps)}
        if sum(path.stat().st_size for path in paths) <= budget:
            break
    return runs, steps


def _choices(settings: Sequence[Setting]) -> Iterator[tuple[list[Run], int]]:
    """First all runs if they are few; then one of each setting, with fewer and fewer steps; then fewer and fewer settings."""
    groups = [[run for run in setting.runs if run.samples] for setting in settings]
    every = [run for group in groups for run in group]
    if len(every) <= _RUNS:
        yield every, STEPS
    first = [group[0] for group in groups if group]
    for most in (STEPS, 6, 3, 1):
        yield first, most
    while len(first) > 1:
        first = first[::2]
        yield first, 1


def _evenly(steps: Sequence[int], most: int) -> list[int]:
    """At most `most` steps, the first and the last among them; of one the last."""
    if most == 1:
        return [steps[-1]]
    places = np.linspace(0, len(steps) - 1, min(most, len(steps))).round().astype(int)
    return [steps[i] for i in dict.fromkeys(places.tolist())]


def _at(run: Run, steps: Sequence[int]) -> list[Path]:
    """The picture for each step: the latest one until then, else the run's first."""
    have = sorted(run.samples)
    return [
        run.samples[max((s for s in have if s <= t), default=have[0])] for t in steps
    ]


def _figure(
    name: str, run: Run, steps: Sequence[int], damaged: list[str]
) -> Html | None:
    """A run's pictures on top of each other; data-from is the slider's place from which on each is shown."""
    step_of = {path: step for step, path in run.samples.items()}
    images, before = [], None
    for place, path in enumerate(_at(run, steps)):
        if path == before:
            continue
        before, data = path, whole_png(path)
        if data is None:
            damaged.append(f"{run.name}/{path.name}")
            continue
        uri = f"data:image/png;base64,{base64.b64encode(data).decode()}"
        step = f"{step_of[path]:,}"
        alt = f"Samples of {name} at step {step}"
        images.append([uri, alt, place, step])
    if not images:
        return None
    made = [
        tag("img", src=uri, alt=alt, data_from=place, data_step=step, hidden=i > 0)
        for i, (uri, alt, place, step) in enumerate(reversed(images))
    ]
    at = tag("span", f"step {images[-1][3]}", class_="at")
    return tag("figure", made, tag("figcaption", name, " \N{MIDDLE DOT} ", at))
