"""Video programs for tests: a genuine ffmpeg, none, and ones that misbehave; reading a video back."""

import os
import subprocess

import imageio_ffmpeg
import numpy as np

GENUINE = imageio_ffmpeg.get_ffmpeg_exe()


def only(folder, monkeypatch, script=""):
    """Let PATH hold a genuine ffmpeg, or this shell script in its place, and the system's programs but ffmpeg."""
    folder.mkdir(exist_ok=True)
    program = folder / "ffmpeg"
    if script:
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    else:
        program.symlink_to(GENUINE)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return program


def none(folder, monkeypatch):
    """Let PATH hold nothing."""
    monkeypatch.setenv("PATH", str(folder))


def decoded(path, height, width):
    """The frames of a video, uint8 [n, height, width, 3]."""
    words = "-loglevel error -i".split(), "-f rawvideo -pix_fmt rgb24 -".split()
    done = subprocess.run(
        [GENUINE, *words[0], str(path), *words[1]], capture_output=True, check=True
    )
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width, 3)


def facts(path):
    """What ffmpeg says of a file."""
    return subprocess.run(
        [GENUINE, "-i", str(path)], capture_output=True, text=True
    ).stderr
