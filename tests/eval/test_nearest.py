"""Nearest training examples, against brute force in whole numbers."""

import numpy as np
import pytest

from gan_jax.eval import nearest as module
from gan_jax.eval.nearest import nearest, nearness
from gan_jax.types import UserError

RNG = np.random.default_rng(0)
TRAIN = RNG.integers(0, 256, (200, 20, 20, 3), dtype=np.uint8)
X = RNG.integers(0, 256, (7, 20, 20, 3), dtype=np.uint8)


def by_force(x, train, k):
    """Rows and distances by differences in int64 (or float64), lower rows first."""
    wide = np.int64 if x.dtype == np.uint8 else np.float64
    a, b = (z.reshape(len(z), -1).astype(wide) for z in (x, train))
    squares = ((a[:, None] - b) ** 2).sum(-1)
    rows = np.argsort(squares, axis=1, kind="stable")[:, :k]
    return rows, np.sqrt(np.take_along_axis(squares, rows, 1))


@pytest.mark.parametrize("block", [1, 30_000, 2**22])
def test_pictures_are_exact_whatever_the_block(block, monkeypatch):
    monkeypatch.setattr(module, "_NUMBERS", block)
    found, distances = nearest(X, TRAIN, 5)
    rows, expected = by_force(X, TRAIN, 5)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, rows)
    np.testing.assert_array_equal(distances, expected)


def test_the_largest_distances_are_exact_too():
    black, white = np.zeros((2, 64, 64, 3), np.uint8), np.full((1, 64, 64, 3), 255)
    white = white.astype(np.uint8)
    dim = white.copy()
    dim[0, 0, 0, 0] = 254  # one step in three thousand million
    found, distances = nearest(black[:1], np.concatenate([white, dim]), 2)
    assert found.tolist() == [[1, 0]]
    squares = [64 * 64 * 3 * 255**2 - 509, 64 * 64 * 3 * 255**2]
    assert np.square(distances[0]).round().astype(int).tolist() == squares


@pytest.mark.parametrize("block", [1, 50, 2**22])
def test_equals_come_in_the_order_of_the_training_set(block, monkeypatch):
    monkeypatch.setattr(module, "_NUMBERS", block)
    train = np.repeat(TRAIN[:3], 4, axis=0)
    found, distances = nearest(TRAIN[1:2], train, 5)
    assert found[0, :4].tolist() == [4, 5, 6, 7] and (distances[0, :4] == 0).all()
    assert distances[0, 4] > 0


def test_points():
    x, train = RNG.normal(size=(5, 2)), RNG.normal(size=(300, 2))
    x, train = x.astype(np.float32), train.astype(np.float32)
    found, distances = nearest(x, train, 3)
    rows, expected = by_force(x, train, 3)
    np.testing.assert_array_equal(found, rows)
    np.testing.assert_allclose(distances, expected, rtol=1e-12)


def test_an_example_is_not_its_own_neighbour():
    own = np.array([3, 199, 0])
    found, distances = nearest(TRAIN[own], TRAIN, 2, own)
    rows, expected = by_force(TRAIN[own], TRAIN, 3)
    np.testing.assert_array_equal(found, rows[:, 1:])
    np.testing.assert_array_equal(distances, expected[:, 1:])


@pytest.mark.parametrize("k", [0, 201, -1])
def test_more_neighbours_than_examples_are_refused(k):
    with pytest.raises(UserError, match=f"{k} nearest of 200 .* 1 to 200"):
        nearest(X, TRAIN, k)


def test_copies_are_nearer_than_the_training_set_is_to_itself():
    among = by_force(TRAIN, TRAIN, 2)[1][:, 1]
    noisy = TRAIN[:40] // 2 * 2 + 1  # at most one step off a byte
    ours, theirs = nearness(nearest(noisy, TRAIN, 3)[1], TRAIN)
    assert theirs == np.median(among) and 0 < ours < 0.1 * theirs
    ours, theirs = nearness(nearest(X, TRAIN, 1)[1], TRAIN)
    assert 0.9 < ours / theirs < 1.1


def test_at_most_so_many_training_examples_are_asked(monkeypatch):
    monkeypatch.setattr(module, "PROBES", 3)
    found = nearness(np.ones((1, 1)), TRAIN)[1]
    own = np.array([0, 100, 199])
    assert found == np.median(by_force(TRAIN[own], TRAIN, 2)[1][:, 1])
