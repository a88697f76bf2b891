"""Regularisers against their closed forms in NumPy, their memories and their gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from gan_jax.regularisers import REGULARISERS, View, start_memory
from gan_jax.types import Pair, Scores

RNG = np.random.default_rng(0)
N = 6
REAL, FAKE, NEAR = RNG.normal(size=(3, N))
FEATURES = RNG.normal(size=(N, 5))
PICTURES = RNG.normal(size=(2, N, 3, 3, 2))
PARAMS = {
    "conv": RNG.normal(size=(2, 2, 3, 4)),
    "dense": {"kernel": RNG.normal(size=(5, 3)), "bias": RNG.normal(size=3)},
    "scale": RNG.normal(size=4),
}
MATRICES = [PARAMS["conv"].reshape(12, 4), PARAMS["dense"]["kernel"]]


def single(tree):
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), tree)


def view(memory=None, params=PARAMS, precise=single):
    scores = [Scores(precise(x), precise(FEATURES)) for x in (REAL, FAKE, NEAR)]
    images = tuple(precise(PICTURES))
    return View(precise(params), memory, *scores, images)


def lecam_memory(real, fake):
    return {"real": jnp.float32(real), "fake": jnp.float32(fake)}


def off_diagonal(w):
    gram = w.T @ w
    return np.sum((gram - np.diag(np.diag(gram))) ** 2)


def cosines():
    unit = FEATURES / np.linalg.norm(FEATURES, axis=1, keepdims=True)
    pairs = [(i, j) for i in range(N) for j in range(N) if i != j]
    return np.mean([np.dot(unit[i], unit[j]) ** 2 for i, j in pairs])


WANTED = {  # (regulariser, player) -> value by hand
    ("orthogonal", "gen"): sum(map(off_diagonal, MATRICES)),
    ("orthogonal", "disc"): sum(map(off_diagonal, MATRICES)),
    ("weight_decay", "gen"): 0.5 * sum(np.sum(w**2) for w in MATRICES),
    ("weight_decay", "disc"): 0.5 * sum(np.sum(w**2) for w in MATRICES),
    ("latent_consistency", "gen"): -0.1 * np.mean((PICTURES[0] - PICTURES[1]) ** 2),
    ("latent_consistency", "disc"): np.mean((FAKE - NEAR) ** 2),
    ("pull_away", "gen"): cosines(),
}


@pytest.mark.parametrize(("name", "player"), WANTED)
def test_a_regulariser_is_its_closed_form_and_leaves_its_memory(name, player):
    value, memory = getattr(REGULARISERS[name], player)(view({}))
    np.testing.assert_allclose(value, WANTED[name, player], rtol=1e-5)
    assert memory == {}


def test_every_row_is_checked_here():
    rows = {
        (name, player)
        for name, row in REGULARISERS.items()
        for player in Pair._fields
        if getattr(row, player)
    }
    averaging = {("historical_averaging", p) for p in Pair._fields}
    assert rows == {*WANTED, ("lecam", "disc"), *averaging}


def test_lecam_pulls_each_batch_to_the_other_side_s_running_mean():
    value, memory = REGULARISERS["lecam"].disc(view(lecam_memory(0.7, -0.4)))
    want = np.mean((REAL + 0.4) ** 2) + np.mean((FAKE - 0.7) ** 2)
    np.testing.assert_allclose(value, want, rtol=1e-5)
    np.testing.assert_allclose(memory["real"], 0.99 * 0.7 + 0.01 * REAL.mean())
    np.testing.assert_allclose(memory["fake"], -0.99 * 0.4 + 0.01 * FAKE.mean())


def test_orthogonal_is_nothing_for_orthogonal_columns_of_any_length():
    params = {"w": 3.0 * jnp.eye(5, 3)}
    value, _ = REGULARISERS["orthogonal"].gen(view({}, params))
    assert float(value) == 0.0


def test_pull_away_does_not_depend_on_the_length_of_features():
    def value(scale):
        fake = Scores(jnp.zeros(N), single(scale * FEATURES))
        return REGULARISERS["pull_away"].gen(View({}, {}, fake=fake))[0]

    np.testing.assert_allclose(value(1.0), value(100.0), rtol=1e-5)
    alike = Scores(jnp.zeros(N), jnp.ones((N, 5)))
    alike = REGULARISERS["pull_away"].gen(View({}, {}, fake=alike))[0]
    np.testing.assert_allclose(alike, 1.0, rtol=1e-5)


def test_historical_averaging_remembers_the_mean_of_the_parameters():
    row = REGULARISERS["historical_averaging"]
    steps = [jax.tree.map(lambda x, i=i: x + i**2, single(PARAMS)) for i in range(4)]
    memory, mean = row.start(steps[0]), steps[0]
    for i, params in enumerate(steps):
        value, memory = row.gen(View(params, memory))
        apart = jax.tree.map(lambda a, b: np.sum((a - b) ** 2), params, mean)
        np.testing.assert_allclose(value, sum(jax.tree.leaves(apart)), rtol=1e-5)
        seen = steps[: i + 1]
        mean = jax.tree.map(lambda *x: np.mean(np.stack(x), axis=0), *seen)
        for a, b in zip(*map(jax.tree.leaves, (memory["mean"], mean)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
        assert float(memory["count"]) == i + 1


def test_the_gradient_of_historical_averaging_is_twice_the_distance():
    row = REGULARISERS["historical_averaging"]
    params = single(PARAMS)
    mean = jax.tree.map(lambda x: 0.5 * x - 1.0, params)
    memory = {"mean": mean, "count": jnp.float32(3)}
    got = jax.grad(lambda p: row.disc(View(p, memory))[0])(params)
    for g, p, m in zip(*map(jax.tree.leaves, (got, params, mean)), strict=True):
        np.testing.assert_allclose(g, 2 * (p - m), rtol=1e-5)


def test_no_gradient_goes_into_a_memory():
    def remembered(name, player, at):
        def total(at):
            memory = getattr(REGULARISERS[name], player)(at)[1]
            return sum(jnp.sum(x) for x in jax.tree.leaves(memory))

        return jax.grad(total)(at)

    at = view({"mean": single(PARAMS), "count": jnp.float32(1)})
    slopes = remembered("historical_averaging", "gen", at).params
    assert not any(np.any(x) for x in jax.tree.leaves(slopes))


def precise(tree):
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), tree)


@pytest.mark.parametrize(("name", "player"), [*WANTED, ("lecam", "disc")])
def test_gradients_agree_with_differences(name, player):
    with jax.enable_x64(True):
        memory = precise({"real": 0.7, "fake": -0.4})
        at = view(memory, precise=precise)
        function = getattr(REGULARISERS[name], player)

        def value(params, real, fake, near, images):
            return function(View(params, memory, real, fake, near, images))[0]

        inputs = (at.params, at.real, at.fake, at.near, at.images)
        check_grads(jax.jit(value), inputs, order=1, modes=["rev"], rtol=1e-6)


def test_memories_start_for_the_players_that_have_the_regulariser():
    params = Pair({"g": jnp.ones(2)}, {"d": jnp.zeros(3)})
    names = ("lecam", "historical_averaging", "orthogonal")
    memory = start_memory(names, params)
    assert set(memory) == set(names)
    assert memory["lecam"].gen == {} == memory["orthogonal"].disc
    assert jax.tree.map(float, memory["lecam"].disc) == {"real": 0.0, "fake": 0.0}
    kept = memory["historical_averaging"]
    assert kept.gen["mean"] is params.gen and kept.disc["mean"] is params.disc
