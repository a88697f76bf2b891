"""Latents drawn for a generator, and classes asked for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.feeding import (
    by_class,
    classes_of,
    draw,
    of_class,
    showcase,
)
from gan_jax.latents import codes_of, draw_latents
from gan_jax.types import ModelSpec

KEY = jax.random.key(0)
PLAIN = ModelSpec("mlp", (2,), latent_dim=6, classes=5)
TOLD = ModelSpec("mlp", (2,), latent_dim=6, classes=5, condition="concat")
CODED = ModelSpec("mlp", (2,), latent_dim=16, codes=(2, 4, 2), classes=5)
MANY = ModelSpec("mlp", (2,), latent_dim=6, classes=40, condition="norm_gen")


def first_code(fed):
    return np.asarray(codes_of(CODED, fed.z).categorical[:, 0]).argmax(1)


def test_how_many_classes_can_be_asked_for():
    assert [classes_of(s) for s in (PLAIN, TOLD, CODED, MANY)] == [0, 5, 4, 40]


@pytest.mark.parametrize("label", [3, np.array([3, 0, 1])])
def test_a_class_is_a_label_where_g_is_told_one_and_else_a_code(label):
    wanted = np.broadcast_to(label, 3)
    z = draw_latents(TOLD, KEY, 3)
    told = of_class(TOLD, z, label)
    assert told.label.dtype == jnp.int32 and np.array_equal(told.z, z)
    np.testing.assert_array_equal(told.label, wanted)
    z = draw_latents(CODED, KEY, 3)
    coded = of_class(CODED, z, label)
    assert coded.label is None
    np.testing.assert_array_equal(first_code(coded), wanted)
    rest = np.r_[0:6, 10:16]  # noise, the second code, the continuous ones
    np.testing.assert_array_equal(coded.z[:, rest], z[:, rest])


def test_a_grid_by_class_has_a_row_a_latent_and_a_column_a_class():
    z = draw_latents(TOLD, KEY, 3)
    fed = by_class(TOLD, z)
    assert fed.columns == 5
    np.testing.assert_array_equal(np.reshape(fed.label, (3, 5)), [range(5)] * 3)
    rows = np.reshape(fed.z, (3, 5, 6))
    np.testing.assert_array_equal(rows, np.broadcast_to(z[:, None], (3, 5, 6)))
    coded = by_class(CODED, draw_latents(CODED, KEY, 2))
    assert coded.columns == 4
    np.testing.assert_array_equal(first_code(coded).reshape(2, 4), [range(4)] * 2)


def test_a_grid_by_class_has_at_most_16_columns():
    fed = by_class(MANY, draw_latents(MANY, KEY, 2))
    assert fed.columns == 16 and fed.z.shape == (32, 6)
    assert set(np.asarray(fed.label).tolist()) == set(range(16))


def test_classes_are_drawn_uniformly_where_g_is_told_any():
    fed = draw(TOLD, KEY, 2000)
    share = np.bincount(fed.label, minlength=5) / 2000
    np.testing.assert_allclose(share, 0.2, atol=0.04)
    np.testing.assert_array_equal(fed.z, draw_latents(TOLD, KEY, 2000))
    assert draw(PLAIN, KEY, 3).label is None and draw(CODED, KEY, 3).label is None


@pytest.mark.parametrize(
    ("spec", "count", "columns"), [(PLAIN, 64, 0), (TOLD, 60, 5), (MANY, 64, 16)]
)
def test_what_a_run_shows_while_it_trains(spec, count, columns):
    fed = showcase(spec, KEY, 64)
    assert len(fed.z) == count and fed.columns == columns
    assert (fed.label is not None) == (columns > 0)
