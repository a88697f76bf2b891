"""Work that training does not wait for: one thread does it, in the order in which it was given."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

ROOM = 256  # jobs that wait; then whoever gives one waits too


class Abandoned(Exception):
    """The program ends: what is being done in the background is of no use to it."""


class Background:
    """Jobs of one thread, in order. Nothing is done any more behind a job that failed.

    One thread gives jobs; `wait` may be called by others too.
    """

    def __init__(self) -> None:
        """No thread until the first job."""
        self._pool = ThreadPoolExecutor(1, "background")
        self._jobs: deque[Future] = deque()
        self._error: BaseException | None = None
        self._over = False

    def do(self, job: Callable[..., Any], *args: Any) -> Future:
        """Have job(*args) done when those before it are. Raises what became of an earlier one."""
        while self._jobs and (self._jobs[0].done() or len(self._jobs) >= ROOM):
            self._jobs.popleft().result()
        self.check()
        future = self._pool.submit(self._attempt, job, args)
        self._jobs.append(future)
        return future

    def check(self) -> None:
        """Raise what the first job that failed met, if one has."""
        if self._error is not None:
            raise self._error

    def wait(self) -> None:
        """Return when all jobs are done. Raises what one of them met."""
        for future in list(self._jobs):
            future.result()
        self.check()

    def heed(self, *_: Any) -> None:
        """For a long job to call now and then: raises Abandoned when nobody wants it any more."""
        if self._over:
            raise Abandoned

    def close(self, finish: bool = True) -> None:
        """End the thread, when all jobs are done; or, not to `finish`, the one at hand, which may `heed` it."""
        self._over = not finish
        with suppress(BaseException):
            if finish:
                self.wait()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _attempt(self, job: Callable[..., Any], args: tuple[Any, ...]) -> None:
        if self._error is not None:
            return
        try:
            job(*args)
        except BaseException as error:
            self._error = error
