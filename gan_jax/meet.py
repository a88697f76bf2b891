"""How the processes of a run find the first one, before JAX does.

The first process listens at the coordinator's address until all are there, checks that they fit, and closes that
port, which is JAX's from then on: nothing can join later. JAX would end a process that cannot connect, or whose
coordinator was lost, with a stack dump; so all is checked here first, and `relay` keeps JAX's connection open.
"""

import os
import socket
import threading
import time
from contextlib import suppress
from typing import Any, NoReturn

from gan_jax.types import UserError
from gan_jax.watch import Line, Watch

_HELLO = 2.0  # seconds to introduce oneself
_AGAIN = 0.2  # seconds between attempts to connect

Address = tuple[str, int]


def gather(
    bind: Address, count: int, seconds: float | int, limit: float | int
) -> Watch:
    """The first of `count` processes: wait until the others are there, and watch them with a limit of silence.

    Raises UserError, on those that came too, when somebody does not come in time or does not fit.
    """
    deadline, lines, peers = time.monotonic() + seconds, {}, {0: _me()}
    with _listener(bind) as listener:
        while len(peers) < count:
            listener.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                line = Line(listener.accept()[0])
            except TimeoutError:
                missing = ", ".join(str(r) for r in range(count) if r not in peers)
                why = f"of {count} processes, {missing} did not come in {seconds:g} s: start all of them"
                _refuse(list(lines.values()), why)
            try:
                *numbers, host = line.first(_HELLO)["hello"]
                rank, theirs, pid = map(int, numbers)
            except (OSError, ValueError, KeyError, TypeError):
                line.socket.close()  # a stranger
                continue
            if rank in peers or theirs != count or not 0 < rank < count:
                why = (
                    f"process {pid} on {host} came as {rank} of {theirs} to process 0 of {count}, where "
                    f"{sorted(peers)} were present: JAX_PROCESS_ID has to be another for each of them, from 0, "
                    "and JAX_NUM_PROCESSES the same"
                )
                _refuse([line, *lines.values()], why)
            lines[rank], peers[rank] = line, [pid, host]
    everybody = [peers[rank] for rank in range(count)]
    for line in lines.values():
        line.send(welcome=everybody)
    return Watch(0, everybody, lines, limit)


def come(
    address: Address, rank: int, count: int, seconds: float | int, limit: float | int
) -> Watch:
    """Process `rank` of `count`: go to the first one. Raises UserError when it is not there, or refuses."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            line = Line(socket.create_connection(address, _HELLO))
        except OSError:  # not there yet
            time.sleep(_AGAIN)
            continue
        line.send(hello=[rank, count, *_me()])
        try:
            answer = line.first(deadline - time.monotonic() + _HELLO)
        except (OSError, ValueError):  # another program
            answer = {}
        if "welcome" in answer:
            return Watch(rank, answer["welcome"], {0: line}, limit)
        line.socket.close()
        if "refused" in answer:
            raise UserError(f"process 0 refused: {answer['refused']}")
        time.sleep(_AGAIN)
    raise UserError(
        f"process 0 is not at {address[0]}:{address[1]} (waited {seconds:g} s): start it there, or correct "
        "JAX_COORDINATOR_ADDRESS"
    )


def relay(address: Address) -> int:
    """Pass connections to a port of this machine, which is returned, on to `address`, and never end them.

    When the other side is lost its connections here stay open, silent, so that JAX does not abort the process
    before the watch has named who was lost.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_serve, args=(listener, address), daemon=True).start()
    return listener.getsockname()[1]


def _serve(listener: socket.socket, address: Address) -> None:
    while True:
        near = listener.accept()[0]
        far = _connected(address)
        threading.Thread(target=_there, args=(near, far), daemon=True).start()
        threading.Thread(target=_pass_on, args=(far, near), daemon=True).start()


def _there(near: socket.socket, far: socket.socket) -> None:
    """Pass on until the near side ends, which ends the far one; the other way round neither ends."""
    _pass_on(near, far)
    with near, far, suppress(OSError):
        far.shutdown(socket.SHUT_RDWR)


def _connected(address: Address) -> socket.socket:
    while True:  # as long as it takes: the watch is awake
        try:
            far = socket.create_connection(address, _HELLO)
        except OSError:
            time.sleep(_AGAIN)
            continue
        far.settimeout(None)
        return far


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)


def _listener(bind: Address) -> socket.socket:
    host, port = bind
    both = not host and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both or ":" in host else socket.AF_INET
    try:
        return socket.create_server(bind, family=family, dualstack_ipv6=both)
    except OSError as error:
        raise UserError(
            f"process 0 cannot listen at {host}:{port} ({error.strerror}): end what does, or choose another port "
            "in JAX_COORDINATOR_ADDRESS"
        ) from error


def _refuse(lines: list[Line], why: str) -> NoReturn:
    for line in lines:
        line.send(refused=why)
        line.socket.close()
    raise UserError(why)


def _me() -> list[Any]:
    return [os.getpid(), socket.gethostname()]
