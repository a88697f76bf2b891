"""One run over several processes, usually one a machine: joining, agreeing, sharing, leaving together.

Without any of JAX's variables and without `--distributed` nothing here does anything: there is one process.
"""

import atexit
import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jaxtyping import Int64

from gan_jax.meet import come, gather, relay
from gan_jax.types import UserError
from gan_jax.watch import LIMIT, Watch

_NAMES = ADDRESS, COUNT, RANK = (
    "JAX_COORDINATOR_ADDRESS",
    "JAX_NUM_PROCESSES",
    "JAX_PROCESS_ID",
)
_EXAMPLE = f"{ADDRESS}=HOST:PORT {COUNT}=2 {RANK}=0 python launch.py ..."
_TIMEOUT = 60  # seconds that all have to come together
_PIECE = 1 << 24  # bytes shared at once
_watch: Watch | None = None


class Place(NamedTuple):
    """Where a process is: the first one's address, how many there are, which one this is, its devices (None: all)."""

    address: str
    count: int
    rank: int
    devices: list[int] | None = None


def join(
    asked: bool, seconds: float | int = _TIMEOUT, limit: float | int = LIMIT
) -> None:
    """Become one of several processes, if the environment or `asked` says so; call it before anything uses JAX.

    The environment: JAX_COORDINATOR_ADDRESS (HOST:PORT of process 0), JAX_NUM_PROCESSES, JAX_PROCESS_ID. Asked: JAX
    finds them itself (Slurm, Open MPI, TPU pods, Kubernetes). All have to come within some `seconds`, and a process
    that is silent for `limit` seconds from then on is lost. Raises UserError when something is missing.
    """
    global _watch
    place = _told(os.environ) or (_found() if asked else None)
    if place is None or place.count == 1 or _watch is not None:
        return
    host, _, port = place.address.rpartition(":")
    target = host.strip("[]"), int(port)
    address = place.address
    if place.rank == 0:
        bind = os.environ.get("JAX_COORDINATOR_BIND_ADDRESS", "").rpartition(":")[0]
        bound = bind.strip("[]").replace("::", ""), int(port)
        watch = gather(bound, place.count, seconds, limit)
    else:
        watch = come(target, place.rank, place.count, seconds, limit)
        address = f"127.0.0.1:{relay(target)}"
    _watch = watch
    _start_jax(place._replace(address=address), limit)
    atexit.register(_left_behind)
    if jax.default_backend() == "cpu":
        with (
            _no_output()
        ):  # the collectives of CPUs say there with whom they are connected
            _spread(np.zeros(1, np.uint8))


def alone(what: str) -> None:
    """Raise UserError where the environment asks for several processes and `what` runs in one only."""
    told = _told(os.environ)
    if told is not None and told.count > 1:
        raise UserError(f"{what} runs in one process: unset {ADDRESS}")


def count() -> int:
    """How many processes share this run."""
    return _watch.count if _watch else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return _watch.rank if _watch else 0


def leads() -> bool:
    """Whether this process writes and speaks for all: the first one does."""
    return rank() == 0


def agree(values: Sequence[int]) -> Int64[np.ndarray, "processes values"]:
    """What every process says, by rank: the same on all of them. All have to call it, equally often.

    It does not use the devices, so it need not wait for what they are doing.
    """
    rows = _watch.exchange(values) if _watch else [values]
    return np.array(rows, np.int64)


def same(text: str, what: str) -> None:
    """Raise UserError, on all processes, when `text` is not the same on all."""
    mark = int.from_bytes(hashlib.sha256(text.encode()).digest()[:7])
    marks = agree([mark])[:, 0].tolist()
    others = [str(i) for i, m in enumerate(marks) if m != marks[0]]
    if others:
        raise UserError(
            f"{what} of process {', '.join(others)} is not that of process 0: start all with the same command"
        )


def share(tree: Any) -> Any:
    """The first process's leaves, on all of them, as NumPy arrays; typed PRNG keys stay typed.

    The others give anything with the same structure, shapes and dtypes, such as `jax.eval_shape`'s result. All have
    to call it. The bits are kept, those of NaNs too.
    """
    if _watch is None:
        return tree
    kinds = jax.tree.map(_kind, tree)
    sizes = [k.size * k.dtype.itemsize for k in jax.tree.leaves(kinds)]
    buffer = np.zeros(sum(sizes), np.uint8)
    if leads():
        raw = [_untyped(x).tobytes() for x in jax.tree.leaves(tree)]
        buffer = np.frombuffer(b"".join(raw), np.uint8).copy()
    length = min(_PIECE, len(buffer))  # of every piece: one program
    for begin in range(0, len(buffer), _PIECE):
        piece = buffer[begin : begin + length]
        piece[:] = _spread(np.resize(piece, length))[: len(piece)]
    ends = np.cumsum(sizes)[:-1]
    pieces = jax.tree.unflatten(jax.tree.structure(kinds), np.split(buffer, ends))

    def leaf(x: Any, kind: Any, piece: np.ndarray) -> Any:
        raw = piece.copy().view(kind.dtype).reshape(kind.shape)
        return jax.random.wrap_key_data(raw) if _is_key(x) else raw

    return jax.tree.map(leaf, tree, kinds, pieces)


def watched(
    last_words: Callable[[], Any] | None = None,
) -> AbstractContextManager[None]:
    """Within, a lost process is told from an error of JAX, which its loss causes: the error goes on if none was lost.

    `last_words` is called, for 30 seconds at most, before a loss ends this process: to finish what is being written.
    """
    return _watch.watched(last_words) if _watch else nullcontext()


def leave(code: int) -> int:
    """End together with the others; call it last. Returns `code` where there is one process, and never otherwise.

    An orderly code (0, 3, 75) waits for the others. With another one this process ends here and now, and after
    some seconds those that have not ended by themselves do so with that code.
    """
    if _watch is None:
        return code
    _watch.leave(code)
    sys.stdout.flush()
    sys.stderr.flush()
    # JAX's own goodbye would abort the process whose connections end first, its own or the coordinator's
    os._exit(code)


def _left_behind() -> None:
    """An exception ended the program without `leave`; its traceback has been printed."""
    leave(1)


def _told(env: Mapping[str, str]) -> Place | None:
    """What the environment says; None when nothing."""
    values = [env.get(name, "") for name in (ADDRESS, COUNT, RANK)]
    if not any(values):
        return None
    address, *numbers = values
    port = address.rpartition(":")[2]
    if not all(x.isascii() and x.isdigit() for x in (*numbers, port)):
        said = " ".join(f"{n}={v}" for n, v in zip(_NAMES, values, strict=True))
        raise UserError(f"{said}: set all three of them, as in {_EXAMPLE}")
    place = Place(address, *map(int, numbers))
    if not place.rank < place.count or not 0 < int(port) < 1 << 16:
        raise UserError(
            f"{ADDRESS}={address} {COUNT}={place.count} {RANK}={place.rank}: the ports are 1 to 65535, and the "
            f"processes are numbered from 0 to {COUNT} - 1"
        )
    return place


def _found() -> Place:
    """What JAX finds out about a cluster."""
    from jax._src.clusters import ClusterEnv  # it has no public name

    try:
        found = ClusterEnv.auto_detect_unset_distributed_params(
            None, None, None, None, None, _TIMEOUT
        )
    except Exception as error:
        raise UserError(f"--distributed: {error}; or set {_EXAMPLE}") from error
    address, count, rank, devices = found
    if None in (address, count, rank):
        raise UserError(
            "--distributed: neither Slurm, Open MPI, Kubernetes nor a TPU pod is here; without them, leave the flag "
            f"out and set {_EXAMPLE}"
        )
    return Place(address, count, rank, devices and list(devices))


def _start_jax(place: Place, limit: float | int) -> None:
    """Make JAX one of several processes, so that it leaves signals and lost processes to us."""
    jax.config.update("jax_enable_preemption_service", False)  # it takes SIGTERM
    # a proxy of the environment is for the world outside: gRPC would use it
    hosts = f"127.0.0.1,{place.address.rpartition(':')[0]}"
    os.environ.setdefault("no_grpc_proxy", hosts)
    jax.config.update("jax_check_proxy_envs", False)
    jax.distributed.initialize(
        *place,
        initialization_timeout=_TIMEOUT,
        heartbeat_timeout_seconds=int(2 * limit) + 100,
    )


@contextmanager
def _no_output() -> Iterator[None]:
    """Nothing reaches standard output, not from C++ either."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def _spread(data: np.ndarray) -> np.ndarray:
    """The first process's uint8 [n], everywhere: its first device has it, all others zeros, and the sum is exact."""
    add, rows = _adder()
    local = jax.local_devices()
    source = local[0] if leads() else None
    nothing = np.zeros_like(data)[None]
    parts = [jax.device_put(data[None] if d is source else nothing, d) for d in local]
    shape = (jax.device_count(), len(data))
    return np.asarray(add(jax.make_array_from_single_device_arrays(shape, rows, parts)))


@cache
def _adder() -> tuple[Callable[[Any], Any], NamedSharding]:
    mesh = jax.make_mesh((jax.device_count(),), ("all",), axis_types=(AxisType.Auto,))
    add = partial(jnp.sum, axis=0, dtype=jnp.uint8)
    copied = NamedSharding(mesh, PartitionSpec())
    return jax.jit(add, out_shardings=copied), NamedSharding(mesh, PartitionSpec("all"))


def _is_key(x: Any) -> bool:
    return jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)


def _kind(x: Any) -> Any:
    """Shape and dtype of a leaf's bytes; a typed key's are those of its numbers."""
    if _is_key(x):
        return jax.eval_shape(jax.random.key_data, x)
    return jax.ShapeDtypeStruct(x.shape, x.dtype)


def _untyped(x: Any) -> np.ndarray:
    return np.asarray(jax.random.key_data(x) if _is_key(x) else x)
