"""A group as a task that any process can do: all that it takes is pickled, all that it leaves is in its folder."""

import json
import os
from pathlib import Path
from typing import NamedTuple

import jax
from ml_collections import ConfigDict

from gan_jax.compiled import keep_compiled
from gan_jax.files import write_atomic
from gan_jax.fit import Fit, fastest, fitting
from gan_jax.herd import Herd, How
from gan_jax.job import assemble, repeatable
from gan_jax.lock import locked
from gan_jax.plan import Group, backend_of, group_folder
from gan_jax.stop import Stop
from gan_jax.train import say


class Task(NamedTuple):
    """Group `number` of the sweep in a folder. how.backend may be "auto". memory: GiB of each device, 0: all that is free."""

    workdir: Path
    number: int
    group: Group
    how: How
    memory: float = 0.0


def measure(task: Task, stop: Stop) -> Fit:
    """How many of a group's members fit into one program here, and the bytes that such programs take."""
    job = assemble(task.group[0].config)
    members = [member.config for member in task.group]
    return fitting(job, members, task.how.backend, task.memory)


def train_group(task: Task, stop: Stop) -> bool:
    """Train a group, or go on with it; whether it is finished. The backend that is taken is kept in its folder."""
    folder = group_folder(task.workdir, task.number)
    with locked(folder):
        job = assemble(task.group[0].config)
        backend = backend_of(task.workdir, task.number)
        if not backend:
            backend = task.how.backend
            if backend == "auto":
                backend = fastest(job, [member.config for member in task.group])
            body = json.dumps({"backend": backend})
            write_atomic(folder / "group.json", body.encode())
        say(f"group {task.number}: {len(task.group)} members, {backend}")
        return Herd(folder, task.group, job, task.how._replace(backend=backend)).run(
            stop
        )


def cpu_devices(count: int) -> None:
    """Split a CPU into so many devices, 0: one a core, unless the user or an earlier computation has decided.

    Members never wait for one another: cores that each train their own gain more than one program over all of them.
    """
    asked = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if asked or jax.config.jax_num_cpu_devices != -1:
        return
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
    count = count or len(cores) or os.cpu_count() or 1
    try:
        jax.config.update("jax_num_cpu_devices", count)
    except RuntimeError:  # the devices are made already
        return


def set_up(config: ConfigDict, cores: int = 0) -> None:
    """Make this process ready for groups: devices, and compiled programs kept on the disk.

    A program is planned, timed, trained and resumed, each time compiled; the cache makes that once on a machine.
    """
    repeatable(config)
    cpu_devices(cores)
    keep_compiled()
