"""Pictures: conversion, grids, scatter plots, deterministic files."""

import ml_dtypes
import numpy as np
import pytest
from PIL import Image

from gan_jax import files, images


def test_rounds_half_up_and_clips():
    x = np.array([-1, 1, 0, -2, 2, np.inf, -0.9921568627450981, 1 / 255], np.float64)
    # (0 + 1) * 127.5 = 127.5 goes up.
    expected = [0, 255, 128, 0, 255, 255, 1, 128]
    assert images.to_uint8(x.reshape(-1, 1, 1, 1)).ravel().tolist() == expected


def test_every_byte_survives_the_way_there_and_back():
    x = np.arange(256, dtype=np.uint8).reshape(256, 1, 1, 1)
    assert (images.to_uint8((x / 127.5 - 1).astype(np.float32)) == x).all()
    assert images.to_uint8(x) is x
    halves = images.to_uint8(np.ones((300, 2, 2, 3), ml_dtypes.bfloat16))
    assert halves.shape == (300, 2, 2, 3) and (halves == 255).all()


@pytest.mark.parametrize(
    "bad, words",
    [
        (np.full((300, 2, 2, 1), np.nan, np.float32), "picture 0 contains NaN"),
        (np.zeros((2, 2), np.float32), "N, H, W, C"),
        (np.zeros((1, 2, 2, 1), np.int32), "int32"),
    ],
)
def test_refuses_what_is_not_a_picture(bad, words):
    with pytest.raises(ValueError, match=words):
        images.to_uint8(bad)


def test_names_the_picture_with_nan():
    x = np.zeros((600, 2, 2, 1), np.float32)
    x[517, 1, 0, 0] = np.nan
    with pytest.raises(ValueError, match="picture 517 "):
        images.to_uint8(x)


def test_grid_places_each_picture_and_fills_with_white():
    x = np.stack([np.full((2, 3, 1), i, np.uint8) for i in range(5)])
    sheet = images.grid(x, pad=1, scale=2)
    assert sheet.shape == (2 * (4 + 1) + 1, 3 * (6 + 1) + 1, 1)
    for i in range(5):
        top, left = 1 + (i // 3) * 5, 1 + (i % 3) * 7
        assert (sheet[top : top + 4, left : left + 6] == i).all()
    assert (sheet[6:, 15:] == 255).all() and (sheet[0] == 255).all()


@pytest.mark.parametrize("side, shown", [(28, 84), (32, 96), (64, 64), (128, 128)])
def test_grid_enlarges_small_pictures(side, shown):
    assert images.grid(np.zeros((1, side, side, 3), np.uint8), pad=0).shape[0] == shown


def test_grid_shapes():
    x = np.zeros((16, 4, 4, 3), np.uint8)
    assert images.grid(x, scale=1, pad=0).shape == (16, 16, 3)
    assert images.grid(x, columns=8, scale=1, pad=0).shape == (8, 32, 3)
    assert images.grid(x, columns=99, scale=1, pad=0).shape == (4, 64, 3)
    with pytest.raises(ValueError, match="no picture"):
        images.grid(x[:0])


def test_scatter_draws_points_where_they_are():
    points = np.array([[0.905, 0.905], [1e30, 0], [-1e30, 5]], np.float32)
    picture = images.scatter(points, limits=(-1.0, 1.0, -1.0, 1.0), size=100)
    coloured = np.argwhere((picture != 255).any(axis=-1))
    # One 3 x 3 dot, right and up; the far points are left out.
    assert len(coloured) == 9 and coloured.mean(axis=0).tolist() == [4, 95]
    corner = np.array([[-1.0, -1.0]], np.float32)
    picture = images.scatter(corner, limits=(-1.0, 1.0, -1.0, 1.0), size=100)
    assert (picture[99, 0] != 255).any() and (picture != 255).any(axis=-1).sum() == 4


def test_scatter_frames_are_comparable():
    real = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    only = [images.scatter(real[:0] + 0, real), images.scatter(real[:1] + 50, real)]
    # The window follows the real points: a fake one far away changes nothing.
    assert (only[0] == only[1]).all()
    grey = only[0].reshape(-1, 3)
    assert (grey == grey[:, :1]).all() and grey.min() < 255
    assert images.scatter(real[:1] * 0, real)[..., 2].max() == 255
    with pytest.raises(ValueError, match="not finite"):
        images.scatter(real * np.float32(np.nan), real)


def test_one_point_has_a_window():
    assert images.limits_of(np.array([[3.0, 4.0]])) == (2.0, 4.0, 3.0, 5.0)


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3)])
def test_png_is_exact_and_deterministic(tmp_path, shape):
    x = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    images.save_png(tmp_path / "a" / "1.png", x)
    images.save_png(tmp_path / "2.png", x)
    data = (tmp_path / "2.png").read_bytes()
    assert (tmp_path / "a" / "1.png").read_bytes() == data
    with Image.open(tmp_path / "2.png") as back:
        assert (np.asarray(back) == x.squeeze()).all()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["2.png", "a"]


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.png"
    images.save_png(path, np.zeros((2, 2), np.uint8))
    before = path.read_bytes()

    def fail(*_):
        raise OSError("no space")

    monkeypatch.setattr(files.os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        images.save_png(path, np.ones((2, 2), np.uint8))
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(ValueError, match="H, W"):
        images.save_png(path, np.zeros((2, 2, 4), np.uint8))


@pytest.mark.parametrize("count, frames", [(1, 1), (7, 7), (60, 60), (130, 60)])
def test_gif_frames(tmp_path, count, frames):
    pngs = []
    for i in range(count):
        pngs.append(tmp_path / f"{i}.png")
        # A moving bar: identical neighbours would be merged.
        x = np.zeros((8, 140, 3), np.uint8)
        x[:, i] = 255
        images.save_png(pngs[-1], x)
    images.save_gif(tmp_path / "a.gif", pngs)
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames == frames and gif.size == (140, 8)
        durations, bars = [], []
        for i in range(frames):
            gif.seek(i)
            durations.append(gif.info["duration"])
            bars.append(int(np.asarray(gif.convert("L"))[0].argmax()))
    assert durations == [150] * (frames - 1) + [1500]
    assert bars[0] == 0 and bars[-1] == count - 1 and bars == sorted(set(bars))


def test_gif_takes_the_last_size_and_needs_pictures(tmp_path):
    images.save_png(tmp_path / "a.png", np.zeros((8, 8), np.uint8))
    images.save_png(tmp_path / "b.png", np.full((6, 4, 3), 9, np.uint8))
    images.save_gif(tmp_path / "a.gif", [tmp_path / "a.png", tmp_path / "b.png"])
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.size == (4, 6) and gif.n_frames == 2
    with pytest.raises(ValueError, match="no pictures"):
        images.save_gif(tmp_path / "b.gif", [])


def moving(count, channels):
    """A white square that moves over noise that stays."""
    still = np.random.default_rng(0).integers(0, 200, (24, 40, channels))
    frames = np.repeat(still[None].astype(np.uint8), count, axis=0)
    for i in range(count):
        frames[i, 4:12, 2 * i : 2 * i + 8] = 255
    return frames


@pytest.mark.parametrize(("channels", "off"), [(1, 0), (3, 60)])
def test_frames_are_animated(tmp_path, channels, off):
    frames = moving(6, channels)
    images.save_frames(tmp_path / "a.gif", iter(frames), 70, 3)
    images.save_frames(tmp_path / "b.gif", frames, 70, 3)
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames == 6 and gif.info["loop"] == 0
        for i, frame in enumerate(frames):
            gif.seek(i)
            assert gif.info["duration"] == (210 if i == 5 else 70)
            shown = np.asarray(gif.convert("RGB")).astype(int)
            assert np.abs(shown - frame).max() <= off
    with pytest.raises(ValueError, match="no frames"):
        images.save_frames(tmp_path / "c.gif", frames[:0])


def test_frames_read_back_have_the_size_of_the_last(tmp_path):
    sheets = [np.full((8, 8), 7, np.uint8), np.full((6, 4, 3), 9, np.uint8)]
    pngs = [tmp_path / "a.png", tmp_path / "b.png"]
    for png, sheet in zip(pngs, sheets, strict=True):
        images.save_png(png, sheet)
    frames = list(images.read_frames(pngs))
    assert [x.shape for x in frames] == [(6, 4, 3)] * 2
    assert (frames[0] == 7).all() and (frames[1] == 9).all()


@pytest.mark.parametrize("size", [1, 3])
def test_points_of_other_spaces_are_shown_in_the_plane(size):
    """Those of a line on the x axis, others by their first two coordinates."""
    points = np.random.default_rng(0).normal(size=(50, size))
    flat = np.zeros((50, 2))
    flat[:, : min(size, 2)] = points[:, :2]
    assert images.limits_of(points) == images.limits_of(flat)
    shown = images.scatter(points, points[:20])
    np.testing.assert_array_equal(shown, images.scatter(flat, flat[:20]))
