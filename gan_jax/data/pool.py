"""Threads over pictures that nobody vouches for: what they hold, and which of them cannot be read, and why."""

import errno
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any

from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from gan_jax.data.pictures import Pictures
from gan_jax.data.spec import DataError, DataSpec

BLOCK = 512  # pictures in flight: bounds the memory, whatever the size of the set
BLOCK_BYTES = 2**29  # of decoded pictures in flight, where they are large
PART = 16  # pictures for a thread at a time: handing over takes longer than a small picture
NAMED = 5  # unreadable pictures that a message names
_LONGEST = 200  # characters of a name or a reason
_SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # no fault of the picture


class Pool:
    """Threads over the pictures (Pillow decodes without the interpreter lock), in order, a block at a time.

    bad: number of the picture -> "name: reason", of all that could not be read so far.
    """

    def __init__(self, pictures: Pictures, spec: DataSpec):
        """With spec.skip_bad what cannot be read is noted in `bad`, else it is refused."""
        self.pictures, self.spec = pictures, spec
        self.bad: dict[int, str] = {}

    def __enter__(self) -> "Pool":
        """Start the threads."""
        self.size = min(16, max(2, os.cpu_count() or 2))
        self.threads = ThreadPoolExecutor(self.size)
        # Filters are shared by all threads, so they are set once around the pool.
        self.filters = warnings.catch_warnings()
        self.filters.__enter__()
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return self

    def __exit__(self, *error: Any) -> None:
        """Wait for the threads; what is not begun is dropped."""
        self.threads.shutdown(cancel_futures=True)
        self.filters.__exit__(*error)

    def each(
        self,
        numbers: Sequence[int],
        function: Callable[[Any], Any],
        doing: str,
        size: int = 1,
    ) -> Iterator[tuple[int, Any]]:
        """Yield (number, function(raw picture)) of those that can be read; `size`: bytes of a result.

        Raises DataError naming the bad ones of a block, unless they are to be left out.
        """

        def attempt(i: int) -> Any:
            try:
                return function(self.pictures.read(i))
            except (
                Exception
            ) as error:  # a damaged file can make a decoder raise nearly anything
                return error

        def attempts(part: Sequence[int]) -> list[Any]:
            return [attempt(i) for i in part]

        total, at_once = len(numbers), max(1, min(BLOCK, BLOCK_BYTES // size))
        share = max(1, min(PART, at_once // self.size))
        # disable=None: no bar where stderr is not a terminal
        with tqdm(
            total=total, desc=f"{self.spec.source}: {doing}", unit="img", disable=None
        ) as bar:
            for begin in range(0, total, at_once):
                block = numbers[begin : begin + at_once]
                parts = [block[i : i + share] for i in range(0, len(block), share)]
                results = list(chain(*self.threads.map(attempts, parts)))
                found = list(zip(block, results, strict=True))
                self._note(found, begin + len(block))
                yield from (pair for pair in found if pair[0] not in self.bad)
                bar.update(len(block))

    def _note(self, found: list[tuple[int, Any]], seen: int) -> None:
        for i, error in found:
            if not isinstance(error, Exception):
                continue
            name = printable(self.pictures.names[i])
            if _is_shortage(error):
                raise DataError(
                    f"this machine was short of memory or open files at {name} ({reason(error)}); run again"
                ) from error
            self.bad[i] = f"{name}: {reason(error)}"
        if self.bad and not self.spec.skip_bad:
            raise DataError(
                f"data source {self.spec.source!r} has pictures that cannot be read ({len(self.bad)} of the first "
                f"{seen:,}); replace or remove these files, or leave such out by --config.data.skip_bad=true:\n"
                f"{listed(self.bad)}"
            )


def listed(bad: dict[int, str]) -> str:
    """The first of the bad pictures, one to a line, and how many more there are."""
    more = f"\n  and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
    return "\n".join(f"  {line}" for line in list(bad.values())[:NAMED]) + more


def reason(error: Exception) -> str:
    """Why a picture cannot be read: the same words for the same fault, whatever the place or the run."""
    if isinstance(error, UnidentifiedImageError):
        return "no PNG, JPEG or WebP picture, or its beginning is damaged"
    text = getattr(error, "strerror", None) or str(error)
    kind = "" if isinstance(error, DataError) else f"{type(error).__name__}: "
    return printable(kind + text)


def printable(text: str) -> str:
    """The text with escapes for what would break or colour a line, and not too long."""
    short = text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in short)


def _is_shortage(error: Exception) -> bool:
    return isinstance(error, MemoryError) or getattr(error, "errno", None) in _SHORTAGES
