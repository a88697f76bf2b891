"""What a run folder holds: its config, and its whole state at a checkpoint, of a sweep's member too."""

from functools import partial
from pathlib import Path
from typing import Any

import jax

from gan_jax import config, models
from gan_jax.best import best_step
from gan_jax.checkpoint import Checkpoints
from gan_jax.leaves import stacked
from gan_jax.plan import recorded
from gan_jax.rows import read_object
from gan_jax.step import init
from gan_jax.types import Recipe, TrainState, UserError

POINTER = "member.json"  # of a sweep's member: its group's folder, and its place in it


def settings_of(workdir: str | Path) -> tuple[Any, dict[str, Any]]:
    """The config of a run (a ConfigDict) and the facts of its data. Raises UserError where the folder holds no run."""
    folder = Path(workdir)
    if not (folder / "config.json").is_file():
        raise UserError(
            f"{folder} holds no run (no config.json); train one there first: "
            f"python launch.py --config=FILE --workdir={folder}"
        )
    return recorded(folder)


def checkpoints_of(workdir: str | Path) -> tuple[Checkpoints, dict[str, Any]]:
    """Where a run's states are, and for a member of a sweep which of its group's they are ({} otherwise)."""
    pointer = Path(workdir) / POINTER
    where = read_object(pointer, "start the sweep again") if pointer.is_file() else {}
    folder = Path(workdir) / where.get("group", "")
    return Checkpoints(folder / "checkpoints"), where


def state_of(
    workdir: str | Path, settings: Any, recipe: Recipe, step: int | str | None = None
) -> TrainState:
    """A run's whole state at a checkpoint: a step, "best", None for the latest. settings: its config.

    Raises CheckpointError where no good one is there.
    """
    folder, numbers = Path(workdir), config.hyper_of(settings)
    nets = models.build(recipe.model)
    target = jax.eval_shape(partial(init, recipe, nets, numbers), 0)
    saved, where = checkpoints_of(folder)
    if step == "best":
        kept = saved.steps() if where else None
        step = best_step(folder, settings.eval.best, kept)
    if not where:
        return jax.device_put(saved.restore(step, target, numbers))
    many = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((where["members"], *x.shape), x.dtype), target
    )
    state = saved.restore(step, many, stacked(numbers, where["members"]))
    return jax.device_put(jax.tree.map(lambda x: x[where["index"]], state))
