"""MP4 files: what is read back, and programs that are missing, fail or hang."""

import contextlib
import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gan_jax import files, record, video
from gan_jax.record import Record
from tests.films import decoded, facts, none, only


def film(count, height, width, channels):
    """Blocks that move over a slope: smooth enough for a lossy code."""
    y, x = np.mgrid[:height, :width]
    frames = np.zeros((count, height, width, channels), np.uint8)
    for i in range(count):
        for c in range(channels):
            frames[i, ..., c] = 40 * c + 2 * y + x
        frames[i, 8:24, 4 * i : 4 * i + 16] = 230
    return frames


@pytest.fixture
def genuine(tmp_path, monkeypatch):
    return only(tmp_path / "bin", monkeypatch)


@pytest.mark.parametrize("size", [(48, 64), (47, 61)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_video_is_what_was_given(genuine, tmp_path, size, channels):
    frames = film(9, *size, channels)
    path = tmp_path / "sub" / "a.mp4"
    video.save_mp4(path, frames, 20)
    height, width = (side + side % 2 for side in size)
    back = decoded(path, height, width).astype(int)
    assert len(back) == 9
    inside = back[:, : size[0], : size[1]]
    assert np.abs(inside - frames).mean() < 2.5
    assert np.abs(inside - np.roll(frames, 1, axis=0)).mean() > 5, "in this order"
    assert (back[:, size[0] :] > 220).all() and (back[:, :, size[1] :] > 220).all()
    if channels == 1:
        assert np.ptp(back, axis=-1).max() <= 2, "grey stays grey"
    said = facts(path)
    assert "h264" in said and "yuv420p" in said and f"{width}x{height}" in said
    assert "20 fps" in said
    assert os.listdir(path.parent) == ["a.mp4"]


def test_colours_come_back(genuine, tmp_path):
    frames = np.zeros((3, 32, 32, 3), np.uint8)
    frames[:, :16, :16], frames[:, 16:, :16] = (220, 30, 40), (30, 200, 60)
    frames[:, :16, 16:], frames[:, 16:, 16:] = (30, 40, 220), (240, 240, 30)
    video.save_mp4(tmp_path / "a.mp4", frames)
    back = decoded(tmp_path / "a.mp4", 32, 32).astype(int)
    for y in (4, 20):
        for x in (4, 20):
            block = np.s_[:, y : y + 8, x : x + 8]
            assert np.abs(back[block] - frames[block]).max() < 12


def test_frames_come_one_at_a_time_and_have_one_shape(genuine, tmp_path):
    frames = film(4, 32, 32, 3)
    video.save_mp4(tmp_path / "a.mp4", (x for x in frames), 6.5)
    assert len(decoded(tmp_path / "a.mp4", 32, 32)) == 4
    with pytest.raises(ValueError, match="frames of"):
        video.save_mp4(tmp_path / "b.mp4", [frames[0], frames[1, :16]])
    with pytest.raises(ValueError, match="no frames"):
        video.save_mp4(tmp_path / "b.mp4", frames[:0])
    assert sorted(os.listdir(tmp_path)) == ["a.mp4", "bin"]


def test_the_last_video_stays_until_the_new_one_is_whole(
    genuine, tmp_path, monkeypatch
):
    path = tmp_path / "a.mp4"
    video.save_mp4(path, film(3, 32, 32, 1))
    before = path.read_bytes()

    def fail(*_):
        raise OSError(28, "full")

    monkeypatch.setattr(files.os, "replace", fail)
    with pytest.raises(OSError, match="a.mp4"):
        video.save_mp4(path, film(5, 32, 32, 1))
    assert path.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["a.mp4", "bin"]


def test_without_ffmpeg_the_gif_is_named(tmp_path, monkeypatch):
    none(tmp_path, monkeypatch)
    assert video.ffmpeg() is None
    with pytest.raises(
        video.VideoError, match=r"a\.mp4 needs the program ffmpeg.*\.gif"
    ):
        video.save_mp4(tmp_path / "a.mp4", film(3, 32, 32, 1))


BROKEN = {
    "fails at once": (
        "echo 'Unknown encoder' >&2; echo libx264 >&2; exit 7",
        "code 7.*says: Unknown encoder libx264",
    ),
    "fails after reading": ("cat > /dev/null; echo no room >&2; exit 1", "no room"),
    "says too much": (
        "yes complaint | head -c 1000000 >&2; exit 3",
        "code 3.*complaint",
    ),
    "writes nothing": ("cat > /dev/null", "wrote nothing"),
    "reads nothing": ("exit 0", "wrote nothing"),
    "is killed": ("kill -9 $$", "code -9"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_failing_ffmpeg_is_one_sentence(how, tmp_path, monkeypatch):
    script, said = BROKEN[how]
    only(tmp_path / "bin", monkeypatch, script)
    with pytest.raises(video.VideoError, match=said) as error:
        video.save_mp4(tmp_path / "a.mp4", film(9, 200, 300, 3))
    text = str(error.value)
    assert "\n" not in text and len(text) < 700 and ".gif" in text
    assert os.listdir(tmp_path) == ["bin"]


def test_a_file_that_is_no_program_is_one_sentence(tmp_path, monkeypatch):
    only(tmp_path / "bin", monkeypatch, "x").write_bytes(b"\x7fELF rubbish")
    with pytest.raises(video.VideoError, match=r"cannot be started .*\.gif"):
        video.save_mp4(tmp_path / "a.mp4", film(2, 32, 32, 3))


HANGING = {
    "never reads": "sleep 1000",  # a child of the shell, which holds the pipe too
    "never ends": "cat > /dev/null; sleep 1000",
    "stops in the middle": "head -c 100000 > /dev/null; sleep 1000",
}


def living(group):
    """Processes of a group that run; a dead one whose parent has gone may stand there as Z for ever."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            words = path.read_text().rpartition(")")[2].split()
            found += [path] if int(words[2]) == group and words[0] != "Z" else []
    return found


@pytest.mark.parametrize("how", HANGING)
def test_a_hanging_ffmpeg_is_ended_with_its_children(how, tmp_path, monkeypatch):
    only(tmp_path / "bin", monkeypatch, f"echo $$ > {tmp_path}/pid; {HANGING[how]}")
    start = time.monotonic()
    with pytest.raises(video.VideoError, match="did nothing for 0.7 s"):
        video.save_mp4(tmp_path / "a.mp4", film(9, 200, 300, 3), patience=0.7)
    assert time.monotonic() - start < 20
    group = int((tmp_path / "pid").read_text())
    assert not living(group)
    assert sorted(os.listdir(tmp_path)) == ["bin", "pid"]


@pytest.fixture
def run(tmp_path):
    made = Record(tmp_path / "run", board=False)
    for step, frame in enumerate(film(9, 48, 64, 3)):
        made.image(step, frame)
    yield made
    made.close()


def length(path):
    """Seconds of a video."""
    hours, minutes, seconds = facts(path).split("Duration: ")[1][:11].split(":")
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds)


def test_the_training_video_has_every_picture(genuine, run, monkeypatch):
    path = run.mp4()
    assert path == run.workdir / "samples" / "training.mp4"
    back = decoded(path, 48, 64).astype(int)
    assert np.abs(back - film(9, 48, 64, 3)).mean() < 2.5
    assert length(path) == pytest.approx(9 * 0.15, abs=0.02)
    monkeypatch.setattr(record, "LONGEST", 0.5)
    assert length(run.mp4()) == pytest.approx(0.5, abs=0.02)
    assert len(decoded(path, 48, 64)) == 9
    with Image.open(run.gif()) as gif:
        assert gif.info["duration"] == pytest.approx(1000 / record.PACE)
    run.truncate(4)
    assert sorted(os.listdir(path.parent)) == [f"step_{i:08d}.png" for i in range(5)]


def test_a_run_without_ffmpeg_or_pictures_has_no_video(tmp_path, monkeypatch, capfd):
    none(tmp_path / "empty", monkeypatch)
    made = Record(tmp_path / "run", board=False)
    assert made.mp4() is None
    made.image(1, film(1, 48, 64, 3)[0])
    assert made.mp4() is None and made.gif().is_file()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("script", ["echo bad luck >&2; exit 1", "sleep 1000"])
def test_a_broken_ffmpeg_only_warns(script, run, tmp_path, monkeypatch, capfd):
    only(tmp_path / "bin", monkeypatch, script)
    made = video._encode
    monkeypatch.setattr(video, "_encode", lambda c, f, _: made(c, f, 0.5))
    assert run.mp4() is None
    said = capfd.readouterr().err
    assert said.count("\n") == 1 and "training.mp4 is not made" in said
    assert run.gif().is_file()


def test_a_damaged_picture_only_warns(genuine, run, capfd):
    (run.workdir / "samples" / "step_00000003.png").write_bytes(b"no picture")
    assert run.mp4() is None
    assert "training.mp4 is not made" in capfd.readouterr().err
    assert not list((run.workdir / "samples").glob(".*"))
