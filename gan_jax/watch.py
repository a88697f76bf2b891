"""The processes of one run hear of each other: who is there, what they agree on, who was lost.

Every process holds one TCP connection to the first and sends a sign of life each second. A connection that ends
without a goodbye is a lost process at once, silence is one after a limit; the first process tells the others, and
all of them end with exit code 75. A message is one short line of JSON.
"""

import json
import os
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import jax

LOST = 75  # exit code: the same command goes on from the last checkpoint
ORDERLY = (0, 3, LOST)  # codes with which all processes end together
LIMIT = 60.0  # seconds of silence after which a process counts as lost
_TICK = 1.0  # seconds between signs of life
_GRACE = (
    5.0  # seconds that a process has to end by itself after another ended with an error
)
_WORDS = 30.0  # seconds that the last words may take
_LONGEST = 1 << 16  # bytes of a message


class Line:
    """A connection on which messages, JSON objects of one line, go both ways."""

    def __init__(self, connection: socket.socket):
        """Take over a connected socket."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket, self.rest, self.lock = connection, b"", threading.Lock()

    def send(self, **message: Any) -> None:
        """Send a message; that the other end is gone is noticed where one listens."""
        try:
            with self.lock:
                self.socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            pass

    def receive(self) -> list[dict[str, Any]]:
        """Wait for bytes; return the messages that are complete. Raises OSError at the end, ValueError for rubbish."""
        data = self.socket.recv(_LONGEST)
        if not data:
            raise OSError("its connection ended")
        *lines, self.rest = (self.rest + data).split(b"\n")
        messages = [json.loads(line) for line in lines]
        if len(self.rest) > _LONGEST or not all(type(m) is dict for m in messages):
            raise ValueError("not a message")
        return messages

    def first(self, seconds: float | int) -> dict[str, Any]:
        """The next message, which has to come within some seconds. Raises OSError or ValueError."""
        deadline, messages = time.monotonic() + seconds, []
        while not messages:
            self.socket.settimeout(max(0.01, deadline - time.monotonic()))
            messages = self.receive()
        self.socket.settimeout(_GRACE)
        return messages[0]


class Watch:
    """This process among `peers` [(pid, host) of every rank]; `lines` leads to whom it talks to."""

    def __init__(
        self, rank: int, peers: list[Any], lines: dict[int, Line], limit: float | int
    ):
        """Watch from now on, in a thread that never keeps the program alive."""
        self.rank, self.peers, self.lines, self.limit = rank, peers, lines, limit
        self.count = len(peers)
        self.silent = dict.fromkeys(lines, 0)  # ticks without a word
        self.worst = 0  # ticks that anybody was silent, as the first process knows it
        self.gone: dict[int, int] = {}  # rank -> exit code that it announced
        self.last_words: Callable[[], Any] | None = None
        self.ended, self.doomed = threading.Event(), threading.Event()
        self.turn, self.news = 0, threading.Condition()
        self.said: dict[int, dict[int, list[int]]] = {}
        self.agreed: dict[int, list[list[int]]] = {}
        threading.Thread(target=self._listen, name="watch", daemon=True).start()

    def exchange(self, values: Sequence[int]) -> list[list[int]]:
        """The values of every process, by rank. All have to call it equally often."""
        turn, self.turn = self.turn, self.turn + 1
        values = [int(v) for v in values]
        if self.rank == 0:
            self._on_say(0, [turn, values])
        else:
            self.lines[0].send(say=[turn, values])
        with self.news:
            self.news.wait_for(lambda: turn in self.agreed)
            return self.agreed.pop(turn)

    def leave(self, code: int) -> None:
        """Say that this process ends with `code`; of an orderly one, wait until all have said so."""
        if self.rank == 0:
            self._on_bye(0, code)
        self._tell(bye=code)
        if code not in ORDERLY:
            return
        self.ended.wait()
        # the first process goes last: its end must not overtake, at the others, the news that all have ended
        for line in self.lines.values() if self.rank == 0 else ():
            with suppress(OSError):
                line.socket.settimeout(_GRACE)
                while line.socket.recv(_LONGEST):
                    pass

    @contextmanager
    def watched(self, last_words: Callable[[], Any] | None) -> Iterator[None]:
        """Take an error of JAX within for the loss of a process, if there is one; see hosts.watched."""
        self.last_words = last_words
        try:
            yield
        except jax.errors.JaxRuntimeError:
            self._await_verdict()
            raise
        finally:
            self.last_words = None

    def _await_verdict(self) -> None:
        calm = 0.0
        while calm < _GRACE:
            if self.doomed.wait(_TICK / 4):
                threading.Event().wait()  # the watching thread ends the process
            suspect = max(self.worst, *self.silent.values()) * _TICK > 2 * _TICK
            calm = 0.0 if suspect else calm + _TICK / 4

    def _listen(self) -> None:
        with selectors.DefaultSelector() as selector:
            for rank, line in self.lines.items():
                selector.register(line.socket, selectors.EVENT_READ, rank)
            due = time.monotonic() + _TICK
            while not self.ended.is_set():
                for key, _ in selector.select(max(0.0, due - time.monotonic())):
                    if not self._hear(key.data):
                        selector.unregister(key.fileobj)
                if time.monotonic() >= due:
                    # not "+= _TICK": where this process itself stood still, nobody was silent
                    due = time.monotonic() + _TICK
                    self._tick()

    def _tick(self) -> None:
        self._tell(beat=max(self.silent.values()))
        for rank in self.silent:
            self.silent[rank] += 1
            if self.silent[rank] * _TICK > self.limit and self._counts(rank):
                self._end(rank, f"was lost: silent for {self.limit:g} s")

    def _hear(self, rank: int) -> bool:
        """Read what a process says; False when there is nothing more to come."""
        try:
            messages = self.lines[rank].receive()
            for message in messages:
                for name, value in message.items():
                    _ANSWERS[name](self, rank, value)
        except (OSError, ValueError, KeyError, TypeError) as error:
            if self._counts(rank):
                self._end(rank, f"was lost: {error}")
            return False
        self.silent[rank] = 0
        return True

    def _counts(self, rank: int) -> bool:
        """Whether a process has to be there: not after its own error, nor when all have ended."""
        return self.gone.get(rank, 0) in ORDERLY and not self.ended.is_set()

    def _tell(self, **message: Any) -> None:
        for line in self.lines.values():
            line.send(**message)

    def _on_beat(self, rank: int, worst: int) -> None:
        self.worst = worst if rank == 0 else 0

    def _on_say(self, rank: int, said: Any) -> None:
        turn, values = said
        with self.news:
            self.said.setdefault(turn, {})[rank] = values
            complete = len(self.said[turn]) == self.count
        if complete:
            by_rank = self.said.pop(turn)
            rows = [by_rank[r] for r in range(self.count)]
            self._tell(agreed=[turn, rows])
            self._on_agreed(0, [turn, rows])

    def _on_agreed(self, rank: int, agreed: Any) -> None:
        turn, rows = agreed
        with self.news:
            self.agreed[turn] = rows
            self.news.notify_all()

    def _on_bye(self, rank: int, code: int) -> None:
        with self.news:
            self.gone[rank] = code
            everybody = len(self.gone) == self.count
            fine = all(known in ORDERLY for known in self.gone.values())
        if code not in ORDERLY and rank != self.rank:
            why = f"stopped with exit code {code}: its own message says why"
            verdict = threading.Timer(_GRACE, self._end, (rank, why, code))
            verdict.daemon = True
            verdict.start()
        elif everybody and fine and self.rank == 0:
            self._tell(end=True)
            self.ended.set()

    def _on_end(self, rank: int, value: bool) -> None:
        self.ended.set()

    def _on_lost(self, rank: int, lost: Any) -> None:
        self._end(*lost)

    def _end(self, rank: int, why: str, code: int = LOST) -> None:
        """Tell everybody of a lost process, let what has to be finished be finished, and end this process."""
        with self.news:
            if self.doomed.is_set():
                return
            self.doomed.set()
        if self.rank == 0:
            self._tell(lost=[rank, why, code])
        pid, host = self.peers[rank]
        text = f"process {rank} of {self.count} (pid {pid} on {host}) {why}"
        if code == LOST:
            text += "; restart all of them with the same command: the run goes on from its last checkpoint"
        print(f"\n{text}", file=sys.stderr, flush=True)
        if self.last_words is not None:
            words = threading.Thread(target=self.last_words, daemon=True)
            words.start()
            words.join(_WORDS)
        os._exit(code)


_ANSWERS: dict[str, Callable[[Watch, int, Any], None]] = {
    "beat": Watch._on_beat,
    "say": Watch._on_say,
    "agreed": Watch._on_agreed,
    "bye": Watch._on_bye,
    "end": Watch._on_end,
    "lost": Watch._on_lost,
}
