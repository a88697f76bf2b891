"""Zip files that nobody vouches for: opened with limits, read in memory, never extracted."""

import contextlib
import io
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gan_jax.data.spec import DataError, untrusted

MAX_MEMBERS = 2_000_000  # ImageNet has 1.3 million pictures
_MAX_DIRECTORY = 2**28  # bytes of the list of members, which is held in memory
_SIGNATURE = b"PK\1\2"  # begins each row of that list
_HEADER = 30  # bytes before each member, without its name
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@contextlib.contextmanager
def opened(path: Path, form: str) -> Iterator[zipfile.ZipFile]:
    """Open a zip file to read; `form` says in messages what it should be ("a zip file").

    Raises DataError for a file that is missing, damaged, of over 2,000,000 members, or with members that
    overlap, share a name or have one that leads outside. What goes wrong while it is open is for the caller.
    """
    with contextlib.ExitStack() as stack:
        with untrusted(f"{path} cannot be read as {form}"):
            if not stat.S_ISREG(path.stat().st_mode):
                raise ValueError("not a regular file")
            file = stack.enter_context(_Watched(io.FileIO(path)))
            archive = stack.enter_context(zipfile.ZipFile(file))
            file.opening = False
            _check(archive)
        yield archive


def read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int) -> bytes:
    """Return what a member unpacks to, at most `most` bytes. Raises DataError, or what zipfile raises for damage."""
    check_method(member)
    size = max(member.file_size, member.compress_size)
    if size > most:
        raise DataError(f"{size:,} bytes, more than the limit of {most:,}")
    with archive.open(member) as file:
        # no more than it says: without a number zipfile unpacks as much as there is
        content = file.read(member.file_size)
    if len(content) != member.file_size:
        raise DataError("shorter than the list of members says")
    return content


def check_method(member: zipfile.ZipInfo) -> None:
    """Refuse bzip2 and LZMA: zipfile unpacks those without a limit, and a few bytes may become gigabytes."""
    if member.compress_type not in _METHODS:
        raise DataError(
            f"packed by method {member.compress_type}; only stored and deflated members are read"
        )


def refuse_outside(name: str) -> None:
    """Raise ValueError for a member name that would lead out of a folder; nothing is unpacked, but none is honest."""
    parts = name.replace("\\", "/").split("/")
    if not parts[0] or parts[0].endswith(":") or ".." in parts:
        raise ValueError(f"a member named {name!r}, which leads out of the archive")


class _Watched(io.BufferedReader):
    """A file that does not give out a list of members above the limits."""

    opening = True

    def read(self, size: int | None = -1, /) -> bytes:
        if self.opening and size is not None and size > _MAX_DIRECTORY:
            raise ValueError(
                f"its list of members has {size:,} bytes, more than the limit of {_MAX_DIRECTORY:,}"
            )
        data = super().read(size)
        if self.opening and data.count(_SIGNATURE) > MAX_MEMBERS:
            raise ValueError(f"more members than the limit of {MAX_MEMBERS:,}")
        return data


def _check(archive: zipfile.ZipFile) -> None:
    members: list[Any] = archive.infolist()
    for member in members:
        refuse_outside(member.filename)
    if len(archive.NameToInfo) != len(members):
        raise ValueError("two members of one name")
    spans = sorted(
        (m.header_offset, m.header_offset + _HEADER + m.compress_size) for m in members
    )
    ends = [end for _, end in spans]
    begins = [begin for begin, _ in spans[1:]] + [archive.start_dir]
    if any(end > begin for end, begin in zip(ends, begins, strict=True)):
        raise ValueError("members that overlap")
