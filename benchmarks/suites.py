"""What the suite measures: a table of groups, each a function of a Plan that gives jobs, each of which gives rows.

    python -m benchmarks.suites GROUP PLAN FILE

runs one group in this process (`benchmarks.run` starts one a group, so that none inherits memory or devices). PLAN is
a Plan as JSON; the rows go to FILE. A job that fails is shown and the others run; the exit code is 1 then.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import count, product
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks import around, cases, evaluating, feeding, monitors
from benchmarks import population as many
from benchmarks.timing import (
    CORES,
    TORCH,
    Plan,
    Row,
    Way,
    facts,
    interleaved,
    rows_of,
    say,
    seconds,
    short,
    table,
    told_rate,
    write,
)
from benchmarks.ways import (
    LOOP,
    LOSSES,
    PRECISIONS,
    all_theirs,
    generator,
    ours,
    program,
    same,
    stock,
)
from gan_jax.feeding import draw
from gan_jax.heap import keep_freed_memory
from gan_jax.job import assemble
from gan_jax.models.conv import CONV
from gan_jax.sampling import make_sampler

Job = Callable[[], list[Row]]
OF_SUITE = {"cpu": ("float32", "bfloat16"), "gpu": ("tf32", "bfloat16")}
BF16_ON_CPU = "dcgan28", 64  # one case tells; PyTorch's takes minutes at 64 px
FORMS = {  # cases of `forms`; at 64 px XLA's own takes minutes in a CPU's loop
    "cpu": (("dcgan28", 16, "float32"),),
    "gpu": (
        ("dcgan64", 128, "tf32"),
        ("dcgan64", 128, "bfloat16"),
        ("dcgan64", 1024, "bfloat16"),
        ("sngan32", 64, "bfloat16"),
    ),
    "quick": (("dcgan28", 8, "float32"),),
}
MEMBERS = {
    "cpu": {"ring": (8, 32, 128), "dcgan": (8, 32)},
    "gpu": {"ring": (128,), "dcgan": (64,)},
}
QUICK_CASES = "ring", "dcgan28"
FLOPS = {"dcgan64": 2.29e9, "sngan32": 44.3e9}  # of a step and example of its batch
STOCK = {
    "dcgan28": 2,
    "dcgan64": 0,
}  # steps a dispatch of its loop; 0: minutes, not timed
SLOW = 1.0  # seconds of a step; slower ones make shorter loops


def step(plan: Plan) -> Iterator[Job]:
    """A training step: PyTorch, stock Flax (two DCGANs), ours by itself and in its loop."""
    names = plan.cases or (QUICK_CASES if plan.quick else tuple(cases.CASES))
    jobs = []
    for name in names:
        batches = (8,) if plan.quick else cases.BATCHES[plan.suite].get(name, (64,))
        for job in product((name,), batches, plan.precisions or OF_SUITE[plan.suite]):
            spared = plan.suite == "cpu" and job[2] == "bfloat16"
            if plan.precisions or not spared or job[:2] == BF16_ON_CPU:
                jobs.append(job)
    if plan.suite == "cpu":
        yield from (partial(step_rows, plan, job) for job in jobs)
        return
    # Compiling for a GPU takes a core most of a minute a program, and the host has many: all of it before the first timing.
    with ThreadPoolExecutor(CORES) as pool:
        made = [pool.submit(built, plan, *job) for job in jobs]
    for job, future in zip(jobs, made, strict=True):
        yield lambda job=job, future=future: step_rows(plan, job, future.result())


class Built(NamedTuple):
    """A case and what runs it: two of our programs, which have been called."""

    setting: Any
    state: Any
    examples: Any
    step: Any
    chunk: Any


def built(plan: Plan, name: str, batch: int, precision: str) -> Built:
    """A case of `step`, compiled."""
    kind, products = PRECISIONS[precision]
    with jax.default_matmul_precision(products):
        setting = cases.setting(name, batch, plan.width, kind)
        state, examples = cases.first(setting), cases.examples(setting, LOOP)
        step, chunk = program(setting), program(setting, True)
        for run, steps in (step, 1), (chunk, 2):
            jax.block_until_ready(ours(run, state, examples, steps).call())
    return Built(setting, state, examples, step, chunk)


def step_rows(
    plan: Plan, job: tuple[str, int, str], made: Built | None = None
) -> list[Row]:
    """One case of `step`; the base is PyTorch as most code has it, where it is there."""
    name, batch, precision = job
    with jax.default_matmul_precision(PRECISIONS[precision][1]):
        setting, state, examples, step, chunk = made or built(plan, *job)
        ways = all_theirs(setting, state, step, precision, plan.quick)
        single = ours(step, state, examples, 1)
        first = single.call()
        if name in STOCK and precision == "float32":
            nets = stock(setting.recipe.model)
            plain = ours(program(setting, nets=nets), state, examples, 1)
            same(first, plain.call(), LOSSES)
            ways["stock Flax, one step a dispatch"] = plain
            if STOCK[name]:
                run = program(setting, True, nets)
                looped = ours(run, state, examples, STOCK[name])
                ways["stock Flax, in the loop"] = looped
        ways["gan_jax, one step a dispatch"] = single
        steps = LOOP if seconds(single) < SLOW else 2
        ways["gan_jax, in its loop"] = ours(chunk, state, examples, steps)
        values = interleaved(ways, plan)
    rows = rows_of("step", name, values, batch=batch, precision=precision)
    if not plan.peak or plan.quick or name not in FLOPS:
        return rows
    work = 1e-7 * FLOPS[name] * batch / plan.peak  # % of the peak at 1 ms a step
    return [replace(r, note=f"MFU {short(work / np.median(r.values))} %") for r in rows]


def forms(plan: Plan) -> Iterator[Job]:
    """A step in its loop with each way to write convolutions (models.conv.CONV), beside XLA's own."""
    for name, batch, precision in FORMS["quick" if plan.quick else plan.suite]:
        yield partial(forms_rows, plan, name, batch, precision)


def forms_rows(plan: Plan, name: str, batch: int, precision: str) -> list[Row]:
    """One case of `forms`."""
    kind, products = PRECISIONS[precision]
    with jax.default_matmul_precision(products):
        ways = {}
        for form in CONV:
            setting = cases.setting(
                name, batch, plan.width, kind, **{"model.impl": form}
            )
            state, examples = cases.first(setting), cases.examples(setting, LOOP)
            ways[form] = ours(program(setting, True), state, examples, LOOP)
        values = interleaved(ways, plan)
    return rows_of("forms", name, values, "plain", batch=batch, precision=precision)


def population(plan: Plan) -> Iterator[Job]:
    """Many small GANs, time a member and step: every backend beside members one after another."""
    sizes = {"ring": (4,)} if plan.quick else MEMBERS[plan.suite]
    for what, counts in sizes.items():
        for members in counts:
            yield partial(population_rows, plan, what, members)


def population_rows(plan: Plan, what: str, members: int) -> list[Row]:
    """One case of `population`."""
    steps = plan.size({"cpu": 10, "gpu": 50}[plan.suite], 2)
    args = SimpleNamespace(torch=TORCH, torch_members=8)
    group = many.spread(many.members_of(what, steps), members)
    chunks, _ = many.ways_of(assemble(group[0]), group, args)

    def way(chunk: Any, own: int) -> Way:
        begins = count(1, steps)  # step 0 is done
        return Way(lambda: chunk(next(begins), steps), own * steps)

    ways = {name: way(*chunk) for name, chunk in chunks.items()}
    case, values = f"{members} x {what}", interleaved(ways, plan)
    rows = rows_of("population", case, values, "gan_jax, single runs")
    return [told_rate(row, 1, "member-steps/s") for row in rows]


def sampling(plan: Plan) -> Iterator[Job]:
    """DCGAN-64's pictures from latents to the host's memory, time a call."""
    for n in (8,) if plan.quick else (1, 64, 256, 1024):
        yield partial(sampling_rows, plan, n)


def sampling_rows(plan: Plan, n: int) -> list[Row]:
    """One number of pictures of `sampling`."""
    setting = cases.setting("dcgan64", 8, plan.width)
    state = cases.first(setting)
    fed = draw(setting.recipe.model, jax.random.key(0), n)
    sampler = make_sampler(setting.nets)
    call = partial(sampler, state.ema, state.hyper, fed)
    ways = {"gan_jax": Way(call)}
    if TORCH:
        theirs = generator(setting, state, np.asarray(fed.z))
        same({"mean": theirs().mean()}, {"mean": call().mean()}, ["mean"])
        ways = {"PyTorch": Way(theirs), **ways}
    rows = rows_of("sampling", "dcgan64", interleaved(ways, plan), batch=n)
    return [told_rate(row, n, "pictures/s") for row in rows]


GROUPS: dict[str, Callable[[Plan], Iterator[Job]]] = {
    "step": step,
    "forms": forms,
    "population": population,
    "data": feeding.feeding,
    "sampling": sampling,
    "inception": evaluating.features,
    "frechet": evaluating.frechet,
    "start": around.start,
    "memory": around.memory,
    "overhead": around.overhead,
    "monitors": monitors.monitors,
}


def main(group: str, plan_text: str, path: str) -> int:
    """Run a group, print its table, write its rows; 0, or 1 if a job failed, or 2 without the device that is asked for."""
    plan = Plan(**json.loads(plan_text))
    if plan.keep:
        keep_freed_memory()
    if group == "population":
        jax.config.update("jax_num_cpu_devices", CORES)
    if plan.suite != jax.default_backend():
        say(f"--suite={plan.suite}: JAX has no such device here")
        return 2
    if plan.suite == "gpu":
        jax.config.update("jax_default_matmul_precision", "highest")
    rows, failed, about = [], 0, facts()
    for job in GROUPS[group](plan):
        try:
            rows += job()
        except (Exception, SystemExit):
            traceback.print_exc()
            failed = 1
            continue
        say(f"{group}: {rows[-1].case} {rows[-1].batch or ''} {rows[-1].precision}")
        write(path, rows, about)  # a stop keeps what is there
        if plan.suite == "cpu":  # on a GPU the other jobs' programs lie there
            jax.clear_caches()
    print(f"\n## {group}\n\n{GROUPS[group].__doc__}\n\n{table(rows)}", flush=True)
    return failed


if __name__ == "__main__":
    os.environ.setdefault(
        "XLA_PYTHON_CLIENT_PREALLOCATE", "false"
    )  # as PyTorch is there
    sys.exit(main(*sys.argv[1:]))
