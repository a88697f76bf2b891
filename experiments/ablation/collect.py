"""From a finished sweep's folder to the rows of results.csv, and back from there."""

import csv
import io
import math
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from experiments.ablation.measure import Trained
from experiments.ablation.unit import FORMS
from gan_jax.checkpoint import Checkpoints
from gan_jax.config import flatten
from gan_jax.files import write_atomic
from gan_jax.job import assemble
from gan_jax.leaves import stacked
from gan_jax.plan import Member, Plan, folder_of, group_folder, members_of
from gan_jax.population import member, stacked_shapes
from gan_jax.record import columns, read_config
from gan_jax.sampling import make_sampler
from gan_jax.settings import settings_of
from gan_jax.types import UserError

Row = dict[str, Any]
HEAD = ("form", "setting", "seed", "diverged")


def form_of(plan: ModuleType, workdir: Path) -> str:
    """The form that a sweep's first member was trained in. Raises UserError where it is none of the plan's."""
    said = flatten(read_config(workdir / "members" / "0000")["config"])
    for form in FORMS:
        first = settings_of(plan.get_sweep(form))[:1]
        (one,) = members_of(plan.get_config(form), first)
        if all(said.get(n, value) == value for n, value in flatten(one.config).items()):
            return form
    raise UserError(
        f"{workdir} was trained with another config than {plan.__name__} has in the forms {', '.join(FORMS)}: give the "
        "folder of a sweep of the plan as it is"
    )


def trained(
    plan: ModuleType, workdir: Path
) -> Iterator[tuple[str, str, Member, Trained]]:
    """(form, setting, member, run) of each member of a plan's sweep. Raises UserError for a sweep that is not finished."""
    form = form_of(plan, workdir)
    config = plan.get_config(form)
    sweep = Plan(config, workdir, {"command": "", "search": None})
    given = settings_of(plan.get_sweep(form))
    sweep.check(given)
    names = [name for name in plan.settings(config) for _ in seeds_of(given)]
    named = dict(zip((one.name for one in sweep.members), names, strict=True))
    for number, group in enumerate(sweep.groups):
        for one, run in of_group(group_folder(workdir, number), workdir, group):
            yield form, named[one.name], one, run


def seeds_of(settings: list[dict[str, Any]]) -> list[int]:
    """The seeds of a sweep, in order."""
    return list(dict.fromkeys(setting["seed"] for setting in settings))


def of_group(
    folder: Path, workdir: Path, group: list[Member]
) -> Iterator[tuple[Member, Trained]]:
    """Each member of a group and its run."""
    job = assemble(group[0].config)
    saved, count, end = (
        Checkpoints(folder / "checkpoints"),
        len(group),
        job.config.steps,
    )
    step = saved.find()
    if step != end:
        raise UserError(
            f"{folder} is at step {step or 0} of {end}: give the sweep's command again, it goes on from there"
        )
    shapes, numbers = stacked_shapes(job, count), stacked(job.hyper, count)
    states, sampler = saved.load(step, shapes, numbers), make_sampler(job.nets)
    for index, one in enumerate(group):
        curves = columns(folder_of(workdir, one) / "metrics.jsonl")
        yield one, Trained(job, one.config, curves, member(states, index), sampler)


def rows_of(plan: ModuleType, workdir: Path) -> list[Row]:
    """The rows of results.csv of a finished sweep, settings in the plan's order."""
    found = []
    for form, setting, one, run in trained(plan, workdir):
        seed, diverged = one.config.seed, int(run.state.halted)
        for reading, measures in plan.ABLATION.read(run).items():
            name = ", ".join(filter(None, (setting, reading)))
            head = dict(zip(HEAD, (form, name, seed, diverged), strict=True))
            found.append((one.name, head | finite(measures)))
    return [row for _, row in sorted(found, key=lambda pair: pair[0])]


def finite(measures: dict[str, float]) -> dict[str, float]:
    """The measures that are numbers, to six digits."""
    return {name: float(f"{x:.6g}") for name, x in measures.items() if math.isfinite(x)}


def write(path: Path, rows: list[Row]) -> None:
    """Write results.csv."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(path, text.getvalue().encode())


def read(path: Path) -> list[Row]:
    """The rows of results.csv, its numbers as floats; [] where there is none."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        {n: x if n in HEAD[:2] else float(x) for n, x in row.items() if x != ""}
        for row in rows
    ]


def values_of(rows: list[Row]) -> dict[str, dict[str, list[float]]]:
    """Setting -> measure -> values over seeds, settings in their order."""
    table: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        own = table.setdefault(row["setting"], {})
        for name, value in row.items():
            if name not in ("form", "setting", "seed"):
                own.setdefault(name, []).append(value)
    return table
