"""H.264 videos by the ffmpeg program, where there is one."""

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from gan_jax.files import naming, sync_folder

PATIENCE = 60.0  # seconds that ffmpeg may take for a frame, or for the end
_PIXELS = {1: "gray", 3: "rgb24"}
# even sizes, which yuv420p needs, and the colour matrix that the file says it has
_FILTER = "pad=ceil(iw/2)*2:ceil(ih/2)*2:color=white,scale=out_color_matrix=bt709:out_range=tv"
_MADE = "-an -c:v libx264 -crf 18 -pix_fmt yuv420p -colorspace bt709 -movflags +faststart -f mp4"

Frames = Iterable[UInt8[np.ndarray, "h w c"]]


class VideoError(OSError):
    """No video was made; the message is a sentence that says why and what to do."""


def ffmpeg() -> str | None:
    """The ffmpeg program on PATH, or None."""
    return shutil.which("ffmpeg")


def program(path: str | Path) -> str:
    """ffmpeg, which is to write `path`. Raises VideoError where there is none."""
    found = ffmpeg()
    if found is None:
        raise VideoError(
            f"{path} needs the program ffmpeg, and there is none on PATH: install it (apt-get install ffmpeg), or "
            "name a .gif"
        )
    return found


def save_mp4(
    path: str | Path,
    frames: Frames,
    fps: float | int = 20,
    patience: float | int = PATIENCE,
) -> None:
    """Write frames uint8 [n, H, W, C] (an array, or any iterable of [H, W, C]; C is 1 or 3) as H.264, yuv420p.

    Whole or not at all; one frame is held at a time. Odd sizes get a white line at the right or at the bottom. Raises
    VideoError where there is no ffmpeg, where it fails (with what it says), and where it does nothing for `patience`
    seconds; ValueError when there is no frame, or frames differ in shape.
    """
    encoder, path, frames = program(path), Path(path), iter(frames)
    first = next(frames, None)
    if first is None:
        raise ValueError(f"no frames to make {path} from")
    height, width, channels = first.shape
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    read = f"-f rawvideo -pix_fmt {_PIXELS[channels]} -s {width}x{height} -framerate {fps:.6g} -i -"
    words = f"-y -loglevel error {read} -vf {_FILTER} {_MADE}".split()
    path.parent.mkdir(parents=True, exist_ok=True)
    with naming(path):
        try:
            command = [encoder, *words, str(temporary.absolute())]
            _encode(command, itertools.chain([first], frames), patience)
            if not temporary.is_file() or not temporary.stat().st_size:
                raise VideoError(f"{encoder} wrote nothing; name a .gif")
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)


def _encode(command: list[str], frames: Frames, patience: float | int) -> None:
    """Run ffmpeg over the frames. Raises VideoError."""
    late = threading.Event()
    with tempfile.TemporaryFile() as said:
        with _running(command, said) as process:

            def kill() -> None:
                late.set()
                _kill(process)

            shape = None
            # a closed pipe: it has ended by itself, and stderr says why
            with contextlib.suppress(BrokenPipeError):
                for frame in frames:
                    shape = shape or frame.shape
                    if frame.shape != shape:
                        raise ValueError(f"frames of {shape} and of {frame.shape}")
                    with _limit(patience, kill):
                        process.stdin.write(np.ascontiguousarray(frame))
            with _limit(patience, kill), contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            with _limit(patience, kill):
                code = process.wait()
        said.seek(0)
        text = " ".join(said.read(2000).decode(errors="replace").split())
    if late.is_set():
        raise VideoError(
            f"{command[0]} did nothing for {patience:g} s and was ended; name a .gif"
        )
    if code:
        raise VideoError(
            f"{command[0]} failed with code {code}; name a .gif. It says: {text[:400]}"
        )


@contextlib.contextmanager
def _running(command: list[str], said: object) -> Iterator[subprocess.Popen]:
    """A process in a session of its own, so that what it starts ends with it; it does not outlive the block."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,
        )
    except OSError as error:
        raise VideoError(
            f"{command[0]} cannot be started ({error.strerror}); name a .gif"
        ) from error
    try:
        yield process
    finally:
        if process.returncode is None:
            _kill(process)
            process.wait()
        with contextlib.suppress(OSError):
            process.stdin.close()


def _kill(process: subprocess.Popen) -> None:
    """End a process that nobody has waited for yet, and its children."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def _limit(seconds: float, act: object) -> Iterator[None]:
    """Call `act` from another thread if the block takes longer: a write to a full pipe has no limit of its own."""
    timer = threading.Timer(seconds, act)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
