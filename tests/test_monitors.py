"""Monitors against closed forms: known singular values, hand-made batches, games of two numbers, borders of losses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import monitors
from gan_jax.judging import logit_metrics
from gan_jax.losses import LOSSES

RNG = np.random.default_rng(0)


def kernel_of(values, shape):
    """A kernel whose singular values as a matrix [everything else, outputs] are given."""
    rows, columns = int(np.prod(shape[:-1])), shape[-1]
    left, right = (
        np.linalg.qr(RNG.normal(size=(n, n)))[0][:, : len(values)]
        for n in (rows, columns)
    )
    return ((left * values) @ right.T).reshape(shape).astype(np.float32)


# Layers


def test_a_layer_is_a_module_s_parameters_joined():
    tree = {
        "Dense_0": {"kernel": jnp.full((2, 2), 2.0), "bias": jnp.full(9, 1.0)},
        "block": {"Conv_1": {"kernel": jnp.full((1, 1, 1, 1), -3.0)}},
        "basis": jnp.array([3.0, 4.0]),
    }
    assert monitors.layer_norms(tree) == {
        "Dense_0": 5.0,
        "block.Conv_1": 3.0,
        "basis": 5.0,
    }
    np.testing.assert_allclose(monitors.norm(tree), np.sqrt(59.0), rtol=1e-6)


def test_spectral_norms_are_the_largest_singular_values():
    params = {
        "Conv_0": {"kernel": kernel_of([3.0, 1.0], (4, 4, 3, 8)), "bias": jnp.ones(8)},
        "Dense_0": {"kernel": kernel_of([0.5, 0.4, 0.1], (20, 30))},
        "Dense_1": {"kernel": kernel_of([7.0], (30, 20))},
        "Dense_2": {"kernel": jnp.zeros((5, 5))},
        "BatchNorm_0": {"scale": 9 * jnp.ones(8)},
    }
    got = monitors.spectral_norms(params)
    want = {"Conv_0": 3.0, "Dense_0": 0.5, "Dense_1": 7.0, "Dense_2": 0.0}
    assert list(got) == sorted(want)
    np.testing.assert_allclose(list(got.values()), list(want.values()), rtol=1e-5)


def test_a_transposed_kernel_is_turned():
    """[k, k, outputs, inputs]: as a matrix of its outputs it has other singular values than of its inputs."""
    kernel = RNG.normal(size=(4, 4, 6, 20)).astype(np.float32)
    for name, axis in (("ConvTranspose_3", -2), ("Conv_3", -1)):
        matrix = np.moveaxis(kernel, axis, -1).reshape(-1, kernel.shape[axis])
        (got,) = monitors.spectral_norms({name: {"kernel": kernel}}).values()
        np.testing.assert_allclose(got, np.linalg.norm(matrix, 2), rtol=1e-3)


@pytest.mark.parametrize(
    "shape", [(1024, 1024), (300, 200), (64, 64), (1, 9), (4, 4, 16, 128)]
)
def test_of_random_kernels_to_one_in_a_thousand(shape):
    """Their singular values are crowded below the largest, which is the worst case."""
    kernel = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    exact = np.linalg.norm(kernel.reshape(-1, shape[-1]).astype(np.float64), 2)
    (got,) = monitors.spectral_norms({"a": {"kernel": kernel}}).values()
    assert 0.999 < got / exact < 1 + 1e-5


def test_of_a_kernel_whose_largest_column_is_no_part_of_the_largest_direction():
    """Three columns of length 1 side by side are longer than one of length 1.2."""
    kernel = np.zeros((4, 4), np.float32)
    kernel[0, :3], kernel[1, 3] = 1, 1.2
    (got,) = monitors.spectral_norms({"a": {"kernel": kernel}}).values()
    np.testing.assert_allclose(got, np.sqrt(3), rtol=1e-5)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_of_singular_values_that_fall_slowly(scale):
    values = scale * 0.99 ** np.arange(200)
    kernel = kernel_of(values, (200, 200))
    (got,) = monitors.spectral_norms({"a": {"kernel": kernel}}).values()
    assert 0.999 < got / scale < 1 + 1e-5


def test_of_equal_singular_values():
    (got,) = monitors.spectral_norms({"a": {"kernel": 1e-4 * jnp.eye(50)}}).values()
    np.testing.assert_allclose(got, 1e-4, rtol=1e-5)


def test_cosines_are_exact():
    a, b = {"x": jnp.array([3.0, 0.0]), "y": jnp.zeros(2)}, None
    b = {"x": jnp.array([3.0, 4.0]), "y": jnp.array([0.0, 12.0])}
    np.testing.assert_allclose(monitors.cosine(a, b), 3 / 13, rtol=1e-6)
    minus = jax.tree.map(jnp.negative, b)
    np.testing.assert_allclose(monitors.cosine(b, minus), -1.0, rtol=1e-6)
    assert monitors.cosine(a, jax.tree.map(jnp.zeros_like, a)) == 0


def test_a_histogram_has_few_elements_spread_evenly():
    x = jnp.arange(10_000.0).reshape(100, 100)
    got = np.asarray(monitors.sampled([x, x + 10_000]))
    assert len(got) <= monitors.MOST and len(got) > monitors.MOST / 2
    assert np.array_equal(got, np.arange(0, 20_000, 5))
    assert np.array_equal(monitors.sampled([x[0]]), np.arange(100))


# Diversity


def spread(batch):
    """(mean distance, each one's nearest) in float64."""
    flat = np.asarray(batch, np.float64).reshape(len(batch), -1)
    between = np.linalg.norm(flat[:, None] - flat[None], axis=-1)
    off = between[~np.eye(len(flat), dtype=bool)].reshape(len(flat), -1)
    return off.mean(), off.min(1)


@pytest.mark.parametrize("shape", [(2,), (8, 8, 3)])
def test_diversity_of_batches_made_by_hand(shape):
    """Points have their distances taken one by one, pictures by a product of matrices."""
    real = RNG.uniform(-1, 1, (32, *shape)).astype(np.float32)
    same = monitors.diversity(real, real)
    assert (same["ratio"], same["nearest"], same["duplicates"]) == (1, 1, 0)
    half = monitors.diversity(0.3 + 0.5 * real, real)
    np.testing.assert_allclose([half["ratio"], half["nearest"]], 0.5, rtol=1e-4)
    one = monitors.diversity(np.broadcast_to(real[:1], real.shape), real)
    assert one["ratio"] < 1e-3 and one["nearest"] < 3e-3 and one["duplicates"] == 1
    pairs = np.concatenate([real[:8], real[:8] + 1e-5, real[16:]])
    assert monitors.diversity(pairs, real)["duplicates"] == 0.5
    fake = RNG.normal(size=real.shape)
    got = monitors.diversity(fake, real)
    (mean, near), (of_real, typical) = spread(fake), spread(real)
    np.testing.assert_allclose(got["ratio"], mean / of_real, rtol=1e-4)
    np.testing.assert_allclose(got["nearest"], near.mean() / typical.mean(), rtol=1e-3)


def test_far_from_the_origin_distances_are_as_exact():
    """Pictures are centred first: squares of what all have in common would hide what they differ in."""
    x = RNG.normal(size=(16, 100)).astype(np.float32)
    got = monitors.distances(x + 1000)
    np.testing.assert_allclose(got, monitors.distances(x), atol=0.01)


def test_one_picture_has_no_diversity():
    assert monitors.diversity(np.ones((1, 4, 4, 1)), np.ones((1, 4, 4, 1))) == {}


def test_equal_pictures_divide_nothing_by_nothing():
    same = np.ones((4, 4, 4, 1), np.float32)
    got = monitors.diversity(same, same)
    assert all(np.isfinite(x) for x in got.values())


# The game


def shape_of(matrix):
    got = monitors.shape_of_game(*map(jnp.float32, np.ravel(matrix)))
    return float(got["rotation"]), float(got["attraction"])


@pytest.mark.parametrize(
    ("matrix", "rotation", "attraction"),
    [
        ([[0, 2], [-2, 0]], 1, 0),  # the bilinear game
        ([[0, 2], [2, 0]], 0, 0),  # both minimise x y
        ([[3, 0], [0, 3]], 0, 1),  # a valley
        ([[-3, 0], [0, -3]], 0, -1),  # a summit
        ([[1, 0], [0, -1]], 0, 0),  # a saddle
        ([[1, 1], [-1, 1]], 0.5, np.sqrt(0.5)),  # a spiral inwards
        ([[1e-20, 1e-20], [-1e-20, 1e-20]], 0.5, np.sqrt(0.5)),
        ([[1e20, 0], [0, 1e20]], 0, 1),
        ([[0, 0], [0, 0]], 0, 0),
    ],
)
def test_games_of_two_numbers(matrix, rotation, attraction):
    np.testing.assert_allclose(shape_of(matrix), (rotation, attraction), atol=1e-6)


def test_the_shares_are_the_same_in_all_directions():
    """Turning both players' coordinates alike changes neither; no game has more than all of both."""
    for seed in range(5):
        a, b, c, d = np.random.default_rng(seed).normal(size=4)
        matrix, angle = np.array([[a, b], [c, d]]), 1.0 + seed
        turn = np.array(
            [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
        )
        rotation, attraction = shape_of(matrix)
        turned = shape_of(turn @ matrix @ turn.T)
        np.testing.assert_allclose((rotation, attraction), turned, atol=1e-5)
        assert 0 <= rotation <= 1 - attraction**2 + 1e-6


# Accuracy by each loss's own border


RESTLESS = "wasserstein", "rp", "ra", "began", "energy_margin"


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in RESTLESS])
def test_a_border_is_where_the_loss_is_undecided(name):
    """There D's loss on an answer that is as likely real as fake is least; critics, pairs and energies have no such."""
    row = LOSSES[name]
    for numbers in ({}, {"smooth": 0.2}, {"smooth": 0.2, "smooth_fake": 0.1}):
        if set(numbers) <= set(row.numbers.disc):
            at, same = row.border(jnp.zeros(1), jnp.zeros(1), **numbers)
            assert at == same

            def loss(x, numbers=numbers, disc=row.disc):
                return disc(x, x, **numbers)

            slope = jax.grad(loss)(jnp.full(1, at, jnp.float32))
            np.testing.assert_allclose(slope, 0.0, atol=1e-6)


REAL, FAKE = jnp.array([2.0, 0.7, 0.3, -1.0]), jnp.array([-2.0, 0.1, 0.6, 0.8])
RIGHT = {  # of four real and four fake answers, those on D's right side
    "saturating": (3, 1),
    "non_saturating": (3, 1),
    "least_squares": (2, 2),  # 0.5
    "hinge": (3, 1),
    "wasserstein": (3, 2),  # midway between the means, 0.5 and -0.125
    "rp": (2, 2),  # 2 > -2, 0.7 > 0.1, 0.3 < 0.6, -1 < 0.8
    "ra": (3, 2),  # above -0.125; below 0.5
    "f_kl": (1, 4),  # 1
    "f_reverse_kl": (3, 1),
    "f_pearson": (3, 1),
    "f_hellinger": (3, 1),
    "f_js": (3, 1),
    "began": (1, 2),  # energies: real below, fakes above 0.1875
    "energy_margin": (1, 2),
}


@pytest.mark.parametrize("name", LOSSES)
def test_accuracy_of_answers_made_by_hand(name):
    got = logit_metrics(LOSSES[name], REAL, FAKE)
    of_real, of_fake = (n / 4 for n in RIGHT[name])
    assert got["disc/accuracy_real"] == of_real
    assert got["disc/accuracy_fake"] == of_fake
    assert got["disc/accuracy"] == 0.5 * (of_real + of_fake)


def test_labels_move_the_border_of_least_squares():
    got = logit_metrics(LOSSES["least_squares"], REAL, FAKE, a=-1.0, b=1.0)
    assert (got["disc/accuracy_real"], got["disc/accuracy_fake"]) == (0.75, 0.25)


@pytest.mark.parametrize("name", LOSSES)
def test_the_terms_are_the_loss(name):
    row = LOSSES[name]
    assert (row.terms is None) == (name == "rp")
    if row.terms:
        of_real, of_fake = row.terms(REAL, FAKE)
        np.testing.assert_allclose(of_real + of_fake, row.disc(REAL, FAKE), rtol=1e-6)
        if name != "ra":  # each term of its own side alone
            np.testing.assert_allclose(of_real, row.terms(REAL, 5 + FAKE)[0])
            np.testing.assert_allclose(of_fake, row.terms(5 + REAL, FAKE)[1])
