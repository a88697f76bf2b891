"""Where groups are trained: in this process, one after the other, or as tasks of a Ray cluster.

An engine does `work(task, stop)` for every task and yields (place in `tasks`, result) as they end.
"""

from collections.abc import Callable, Iterator
from typing import Any

from gan_jax.cluster import Need, on_ray
from gan_jax.group import Task
from gan_jax.stop import Stop

Results = Iterator[tuple[int, Any]]


def local(
    work: Callable[[Task, Stop], Any], tasks: list[Task], stop: Stop, need: Need
) -> Results:
    """One after the other, here, on all devices."""
    for place, task in enumerate(tasks):
        if not stop.requested:
            yield place, work(task, stop)


ENGINES: dict[str, Callable[..., Results]] = {"local": local, "ray": on_ray}
