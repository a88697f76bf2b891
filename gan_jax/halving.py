"""Successive halving (Jamieson and Talwalkar 2016, arXiv:1502.07943): members that are hopeless stop early.

Whenever the steps have grown by `factor`, the best 1/factor of a group's members train on. Who does is read from what
the members wrote, so a resumed sweep decides as an unbroken one.
"""

from functools import partial
from pathlib import Path

from gan_jax.best import series_of
from gan_jax.eval.measures import direction


def rungs(every: int, steps: int, factor: int) -> list[int]:
    """The steps after which members stop: every, every * factor, every * factor^2, ... below `steps`."""
    found = [every]
    while found[-1] * factor < steps:
        found.append(found[-1] * factor)
    return [step for step in found if step < steps]


def survivors(
    folders: list[Path], metric: str, past: list[int], factor: int
) -> list[int]:
    """Which members train on after the rungs in `past`: the best ceil(n / factor) of each, earlier ones before equals.

    A member without a finite value at a rung is worse than all that have one.
    """
    found = [series_of(folder, metric) for folder in folders]
    alive = list(range(len(folders)))

    def rank(i: int, step: int) -> float:
        name, series = found[i]
        return -direction(name) * series[step] if step in series else float("inf")

    for step in past:
        ranked = sorted(alive, key=partial(rank, step=step))
        alive = sorted(ranked[: -(-len(alive) // factor)])
    return alive
