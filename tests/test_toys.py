"""Games with closed forms, played by the project's own step: Dirac-GAN, the xy game, the Gaussian game."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.dynamics.play import batches, both, placed, ready, walked
from experiments.dynamics.run import AT_ZERO, DIRAC, TURNS, XY, radius
from gan_jax.data import DataSpec, load, toy
from gan_jax.dynamics import make_product, matrix, parameters
from gan_jax.step import dealt
from gan_jax.turns import Turns

DISTANCE = 500  # steps of Dirac-GAN


@pytest.mark.parametrize("rule", XY)
def test_the_xy_game_moves_by_the_closed_form(rule):
    """Dirac-GAN with the Wasserstein loss is the xy game."""
    changes, closed = XY[rule]
    game = ready("xy", changes | both(lr=0.2))
    after = game._replace(state=walked(game, 1)[1])
    assert radius(after) == pytest.approx(closed(0.2), abs=5e-5)


def test_the_closed_forms_are_those_in_the_literature():
    """recipes of the xy game at other rates, to the digits in which they are published."""
    known = {
        "simultaneous": (1.0050, 1.0198, 1.1180),
        "alternating": (1.0, 1.0, 1.0),
        "extra-gradient": (0.99504, 0.98061, 0.90139),
        "optimistic": (0.99494, 0.97891, 0.70711),
    }
    for rule, radii in known.items():
        for lr, published in zip((0.1, 0.2, 0.5), radii, strict=True):
            assert XY[rule][1](lr) == pytest.approx(published, abs=5e-5)


def distances(variant, rule):
    """How far (theta, psi) is from (0, 0) at first and after DISTANCE steps."""
    way, last = walked(ready("dirac", TURNS[rule] | DIRAC[variant]), DISTANCE)
    assert not last.halted and int(last.step) == DISTANCE
    return np.hypot(*way[0]), np.hypot(*way[-1])


CONVERGING = [
    "instance noise 0.7",
    "R1, gamma 0.3",
    "R2, gamma 0.3",
    "NSGAN, R1, gamma 0.3",
    "R1, gamma 1 (critical)",
    "consensus, gamma 1",
]


@pytest.mark.parametrize("variant", DIRAC)
def test_dirac_gan_converges_where_mescheder_et_al_say(variant):
    """arXiv:1801.04406: neither GAN nor WGAN nor WGAN-GP does; instance noise, R1, R2 and consensus do."""
    first, last = distances(variant, "simultaneous")
    assert first == pytest.approx(2**0.5)
    if variant in CONVERGING:
        assert last < 0.05
    else:
        assert last > 0.2


@pytest.mark.parametrize("variant", ["GAN (saturating)", "R1, gamma 0.3"])
def test_turns_keep_dirac_gan_on_its_orbit_and_do_not_cure_it(variant):
    first, last = distances(variant, "alternating")
    if variant in CONVERGING:
        assert last < 0.05
    else:
        assert 0.7 * first < last < 1.3 * first


@pytest.mark.parametrize("variant", ["NSGAN", "R1, gamma 0.3", "consensus, gamma 1"])
def test_dirac_gan_at_its_solution_has_the_papers_eigenvalues(variant):
    """Those of arXiv:1801.04406: of simultaneous steps |1 - lr lambda|."""
    game = ready("dirac", TURNS["simultaneous"] | DIRAC[variant])
    there = game._replace(state=placed(game.state, [0.0, 0.0]))
    assert radius(there) == pytest.approx(abs(1 - 0.1 * AT_ZERO[variant]), abs=5e-6)


def test_instance_noise_attracts_by_its_variance():
    """-f''(0) s^2 +- sqrt(f''(0)^2 s^4 - f'(0)^2) with f' = 1/2, f'' = -1/4 (the same paper), up to the noise of a batch."""
    game = ready("dirac", {"trick.instance_noise": 0.7, "batch_size": 100_000})
    state = placed(game.state, [0.0, 0.0])
    fed = jax.tree.map(lambda x: x[0], batches(game, 1))
    product = make_product(game.job.recipe, game.job.nets)
    values = np.linalg.eigvals(matrix(partial(product, state, fed), 2))
    real = 0.7**2 / 4
    assert values.real == pytest.approx(real, rel=0.02)
    assert np.abs(values.imag) == pytest.approx((0.25 - real**2) ** 0.5, rel=0.02)


@pytest.fixture(scope="module")
def gaussian():
    game = ready("gaussian", {"batch_size": 256})
    return game, jax.tree.map(lambda x: x[0], batches(game, 1))


def test_the_gaussian_game_has_the_jacobian_of_its_moments(gaussian):
    """At D = 0 under cross entropy: [[0, -M^T / 2], [M / 2, (E_real + E_fake)[f f^T] / 4]], f D's features, M = dE[f]/dG."""
    game, fed = gaussian
    recipe, nets = game.job.recipe, game.job.nets
    turns, deal = Turns(recipe, nets, None), dealt(recipe, game.state, fed)
    z = turns.imagine(game.state.players.gen, deal.disc(0, {})[0])[0].z

    def features(x):
        return jnp.concatenate([jnp.einsum("bi,bj->bij", x, x).reshape(-1, 4), x], 1)

    def made(w):
        return z @ w[:4].reshape(2, 2) + w[4:]

    w = parameters(game.state)[:6]
    m = jax.jacobian(lambda w: features(made(w)).mean(0))(w)
    real, fake = features(deal.batch.image[0]), features(made(w))
    own = (real.T @ real + fake.T @ fake) / (4 * len(z))
    expected = np.block([[np.zeros((6, 6)), -0.5 * m.T], [0.5 * m, own]])
    product = make_product(recipe, nets)
    found = matrix(partial(product, game.state, fed), 12)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert np.abs(expected).max() > 1


@pytest.mark.parametrize(
    ("changes", "learns"),
    [({}, True), ({"loss": "wasserstein"}, False)],
    ids=["cross entropy", "wasserstein"],
)
def test_the_gaussian_game(changes, learns):
    """Overlapping densities attract under cross entropy; the critic's game circles (Nagarajan and Kolter 2017)."""
    way, last = walked(ready("gaussian", changes), 1500)
    assert not last.halted
    off = np.linalg.norm(way[-200:, 4:6] - toy.GAUSSIAN_MEAN, axis=1).mean()
    a = way[-200:, :4].reshape(-1, 2, 2)
    target = toy.GAUSSIAN_FACTOR @ toy.GAUSSIAN_FACTOR.T
    covariance = np.einsum("tki,tkj->tij", a, a)
    wide = np.linalg.norm(covariance - target, axis=(1, 2)).mean()
    assert (off < 0.1 and wide < 0.2) if learns else (off > 0.3 or wide > 0.5)


def test_the_data_of_toys():
    dirac = load(DataSpec(source="gan_jax.data.toy:dirac")).images
    assert dirac.shape == (1000, 1) and not dirac.any()
    points = load(DataSpec(source="gan_jax.data.toy:gaussian")).images
    assert points.dtype == np.float32
    np.testing.assert_allclose(points.mean(0), toy.GAUSSIAN_MEAN, atol=0.02)
    covariance = toy.GAUSSIAN_FACTOR @ toy.GAUSSIAN_FACTOR.T
    np.testing.assert_allclose(np.cov(points.T), covariance, atol=0.03)
