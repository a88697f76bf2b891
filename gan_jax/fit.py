"""What this machine can hold and does fastest: the members of one program, and how they share it."""

import time
from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import jax
from ml_collections import ConfigDict

from gan_jax.capacity import GIB, free_bytes, nbytes
from gan_jax.job import Job, table_of
from gan_jax.population import BACKENDS, Population, devices_for
from gan_jax.types import UserError

TRIAL = 3  # steps that each backend is timed for, at most a chunk,
ROUNDS, ENOUGH = 10, 1.0  # so often, or for so many seconds: the least counts


class Fit(NamedTuple):
    """most: members of one program that fit. bytes: backend -> bytes on each device of a program of that many."""

    most: int
    bytes: dict[str, int]


def candidates(asked: str, members: int) -> list[str]:
    """The backends that "auto" chooses among, or the one that is asked for: alone on a device no member waits."""
    if asked != "auto":
        return [asked]
    spread = len(jax.local_devices()) > 1 and members > 1
    return [name for name, row in BACKENDS.items() if row.spread == spread]


def fitting(job: Job, members: list[ConfigDict], asked: str, memory: float) -> Fit:
    """How many of the members fit into one program, whatever backend of the candidates is taken.

    memory: GiB that a program may take on each device, 0: what is free. Raises UserError if one does not fit.
    """

    @cache
    def taken(name: str, count: int) -> int:
        return Population(job, members[:count], name).bytes()

    names, most = candidates(asked, len(members)), len(members)
    size = nbytes(table_of(job.dataset))
    for name in names:
        devices = len(devices_for(most, BACKENDS[name].spread, size))
        room = int(memory * GIB) or free_bytes(devices)
        most = most_of(partial(taken, name), most, devices, room)
    return Fit(most, {name: taken(name, most) for name in names})


def most_of(taken: Callable[[int], int], most: int, devices: int, room: int) -> int:
    """The most members, up to `most`, whose program takes no more than `room` bytes on each of the devices.

    taken(count): the bytes, which grow with the members on a device in a straight line but for what the compiler
    decides anew; so another device's worth might fit. Raises UserError if not one member a device fits.
    """
    if taken(most) <= room:
        return most
    one = taken(devices)
    if one > room:
        raise UserError(
            f"a member takes {one / GIB:.2f} GiB of a device and {room / GIB:.2f} are free: lower batch_size, "
            "model.width or scan_steps"
        )
    each = (taken(most) - one) / max(1, -(-most // devices) - 1)
    found = devices * (1 + int((room - one) / each))
    while taken(found) > room:
        found -= devices
    return found


def fastest(job: Job, members: list[ConfigDict]) -> str:
    """The backend that takes the fewest seconds for a few steps, compiling left out; short ones are timed again."""
    took = {}
    for name in candidates("auto", len(members)):
        population = Population(job, members, name)
        states, _ = population.chunk(population.init(), 0, 1)
        jax.block_until_ready(states)
        n, times = min(TRIAL, job.config.scan_steps), []
        while len(times) < ROUNDS and sum(times) < ENOUGH:
            begin = time.perf_counter()
            states, _ = population.chunk(states, 1 + n * len(times), n)
            jax.block_until_ready(states)
            times.append(time.perf_counter() - begin)
        took[name] = min(times)
    return min(took, key=took.get)
