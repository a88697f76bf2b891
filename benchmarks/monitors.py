"""What the monitors cost: a look at the state beside the steps between two rows, and what compiling it takes."""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np

from benchmarks import cases
from benchmarks.timing import Plan, Row, Way, interleaved, rows_of, short
from benchmarks.ways import LOOP
from gan_jax import config as configs
from gan_jax.chunk import make_chunk, make_look, streamed
from gan_jax.observed import Observer
from gan_jax.step import make_step

EVERY = configs.base().log_every
CASES = "ring", "dcgan28", "dcgan64"


def monitors(plan: Plan) -> Iterator[Callable[[], list[Row]]]:
    """A step in its loop, and a look of the monitors; the note has its share of the time between two rows, 100 steps."""
    for name in CASES[:2] if plan.quick else CASES:
        yield partial(monitor_rows, plan, name)


def monitor_rows(plan: Plan, name: str) -> list[Row]:
    """One case of `monitors`."""
    batch = plan.size({"cpu": 64, "gpu": 128}[plan.suite])
    setting = cases.setting(name, batch, plan.width)
    state, feed = cases.first(setting), jax.device_put(cases.examples(setting, LOOP))
    held_out = jax.tree.map(lambda x: x[0, 0], feed)
    n = np.int32(LOOP)
    chunk = make_chunk(make_step(setting.recipe, setting.nets), streamed)
    look = make_look(Observer(setting.recipe, setting.nets), streamed)
    chunk, first = compiled(chunk, state, feed, n)
    look, second = compiled(look, state, feed, held_out, n)
    ways = {
        "a step": Way(partial(chunk, state, feed, n), LOOP),
        "a look": Way(partial(look, state, feed, held_out, n)),
    }
    values = interleaved(ways, plan)
    step, seen = (statistics.median(x) for x in values.values())
    share = f"{100 * seen / (EVERY * step):.2f} % of {EVERY} steps"
    notes = (
        f"compiles in {short(first)} s",
        f"{share}; compiles in {short(second)} s",
    )
    rows = rows_of("monitors", name, values, batch=batch)
    return [replace(row, note=note) for row, note in zip(rows, notes, strict=True)]


def compiled(function: Callable[..., Any], *args: Any) -> tuple[Any, float]:
    """A function's program for such arguments, and the seconds that tracing and compiling it took."""
    begin = time.perf_counter()
    program = jax.jit(function).lower(*args).compile()
    return program, time.perf_counter() - begin
