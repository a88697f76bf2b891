"""Which evaluation of a run is its best, read from eval.jsonl: so a resumed run knows what an unbroken one does."""

from pathlib import Path
from typing import NamedTuple

from gan_jax.eval.measures import direction
from gan_jax.record import RecordError, columns
from gan_jax.types import UserError

TRAINING = "training"  # who wrote a row: the run itself, or "eval" afterwards


class Best(NamedTuple):
    """The best evaluation: its metric, step and value; since: how many evaluations came after it."""

    metric: str
    step: int
    value: float
    since: int


def series_of(
    workdir: str | Path, metric: str = ""
) -> tuple[str, dict[int, float | int]]:
    """(name, step -> value) of what the run measured while it trained, finite values only.

    metric: the full name of a value, "" = the first that was written.
    """
    table = columns(Path(workdir) / "eval.jsonl")
    if not table:
        return metric, {}
    missing = [None] * len(table["step"])
    names = ("step", "metric", "value", "by")
    rows = zip(*(table.get(name, missing) for name in names), strict=True)
    rows = [row[:3] for row in rows if row[3] == TRAINING and row[2] is not None]
    for step, name, value in rows:
        if not isinstance(name, str) or type(value) not in (int, float):
            raise RecordError(
                f"{Path(workdir) / 'eval.jsonl'}: {name!r} = {value!r} of step {step} is no metric and number: remove the row"
            )
    metric = metric or (rows[0][1] if rows else "")
    return metric, {step: value for step, name, value in rows if name == metric}


def best_of(workdir: str | Path, metric: str = "") -> Best | None:
    """The best of the evaluations that the run made while it trained; None if there is none.

    metric: see `series_of`. Of equals the earliest is the best.
    """
    metric, series = series_of(workdir, metric)
    if not series:
        return None
    sign = direction(metric)
    step = max(series, key=lambda s: (sign * series[s], -s))
    return Best(metric, step, series[step], sum(s > step for s in series))


def best_step(
    workdir: str | Path, metric: str = "", kept: list[int] | None = None
) -> int:
    """The step of the best checkpoint. kept: for a member of a sweep, the steps of its group's.

    Raises UserError for a run that was not evaluated while it trained, and for a member whose best is not kept.
    """
    best = best_of(workdir, metric)
    if best is None:
        raise UserError(
            f"{workdir} has no best checkpoint: a run keeps one when it is trained with --config.eval.every=STEPS"
        )
    if kept is not None and best.step not in kept:
        raise UserError(
            f"step {best.step}, the best of {workdir}, is not kept: members of a sweep share the newest checkpoints of "
            f"their group ({', '.join(map(str, kept))}); train it alone with the command in its config.json"
        )
    return best.step
