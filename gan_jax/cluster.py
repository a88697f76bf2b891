"""Groups as tasks of a Ray cluster: it finds them a machine with what they need, and does them again if that is lost."""

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from gan_jax.checkpoint import CheckpointError
from gan_jax.group import Task, set_up
from gan_jax.lock import FolderInUse
from gan_jax.record import RecordError
from gan_jax.stop import SIGNALS, Stop, stoppable
from gan_jax.types import UserError

RETRIES = 3  # times that a task is done again whose worker died: more is a group that kills its workers
# errors that say what to do; of others Ray's own has the worker's traceback
MENDED = (UserError, FolderInUse, CheckpointError, RecordError, OSError)
POLL = 1.0  # seconds between looks at a signal


class Need(NamedTuple):
    """What a group takes of a cluster: cores, and GPUs, None: one where the cluster has any."""

    cpus: int = 1
    gpus: int | None = None


def connected() -> Any:
    """Ray, joined to $RAY_ADDRESS, the cluster on this machine, or a new one here. Raises UserError without Ray."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # a task without GPUs sees none: what newer releases do anyway
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError:
        raise UserError("--engine=ray needs Ray: pip install ray") from None
    if not ray.is_initialized():
        before = {kind: signal.getsignal(kind) for kind in SIGNALS}
        try:
            ray.init(logging_level="error")
        except (ConnectionError, RuntimeError) as error:
            raise UserError(f"cannot join the Ray cluster: {error}") from error
        for kind, handler in before.items():  # Ray takes signals for itself
            signal.signal(kind, handler)
    return ray


def checked(ray: Any, need: Need) -> Need:
    """The need with its GPUs decided. Raises UserError for more than any cluster of this size can give."""
    has = ray.cluster_resources()
    gpus = min(1, int(has.get("GPU", 0))) if need.gpus is None else need.gpus
    for name, asked in (("CPU", need.cpus), ("GPU", gpus)):
        if asked > has.get(name, 0):
            raise UserError(
                f"a group takes {asked} {name}s and the Ray cluster has {has.get(name, 0):.0f}: lower "
                f"--{name.lower()}s"
            )
    return Need(need.cpus, gpus)


def on_ray(
    work: Callable[[Task, Stop], Any], tasks: list[Task], stop: Stop, need: Need
) -> Iterator[tuple[int, Any]]:
    """Each task on a worker with what it needs; a task goes on where a lost worker left its folder.

    The folder must be on a disk that all machines share. A signal stops the tasks; they go on from what they saved.
    """
    ray = connected()
    need = checked(ray, need)
    remote = ray.remote(num_cpus=need.cpus, num_gpus=need.gpus, max_retries=RETRIES)
    remote = remote(remotely)
    place = {
        remote.remote(work, t, need.cpus, os.getcwd()): i for i, t in enumerate(tasks)
    }
    asked, failed = False, None
    while place:
        if stop.requested and not asked:
            asked = True
            for reference in place:
                ray.cancel(reference)
        for reference in ray.wait(list(place), timeout=POLL)[0]:
            i = place.pop(reference)
            try:
                yield i, ray.get(reference)
            except ray.exceptions.TaskCancelledError:
                yield i, False
            except ray.exceptions.RayTaskError as error:
                failed = error.cause if isinstance(error.cause, MENDED) else error
            except ray.exceptions.RayError as error:
                failed = UserError(f"group {tasks[i].number} was lost: {error}")
    if failed is not None:
        raise failed


def remotely(work: Callable[[Task, Stop], Any], task: Task, cpus: int, cwd: str) -> Any:
    """Do a task in a worker's process, in the folder that the sweep was started in."""
    os.chdir(cwd)
    set_up(task.group[0].config, cpus)
    with stoppable() as stop:
        return work(task, stop)
