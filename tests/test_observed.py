"""What a state is observed to be: closed forms, networks counted by hand, and the same in every way of running."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import config, models
from gan_jax.monitors import layer_norms
from gan_jax.objectives import Row
from gan_jax.observed import Observer
from gan_jax.step import init
from gan_jax.turns import both
from gan_jax.types import Batch
from tests.bilinear import ONES, SGD, Bilinear
from tests.recipes import bits, parts, pictures, tiny

SIDE = (8, 8, 1)


# Games in closed form


class Quadratic(Bilinear):
    """G holds x and minimises x.A x / 2 + x.C y, D holds y and minimises y.B y / 2 + s x.C y, of three numbers each."""

    own = jnp.diag(jnp.array([4.0, 1.0, 0.25]))
    joint = jnp.array([[1.0, 2.0, 0.0], [0.0, -1.0, 0.5], [3.0, 0.0, 1.0]])
    sign, valley = 1.0, 1.0

    def init(self, gen_key, disc_key, hyper):
        x, y = jnp.array([1.0, -2.0, 0.5]), jnp.array([0.3, 1.0, -1.0])
        return (
            super()
            .init(gen_key, disc_key, hyper)
            ._replace(gen=({"x": x}, {}), disc=({"y": y}, {}))
        )

    def disc_loss(self, params, vars, context, made, detach):
        y = params["y"]
        value = self.valley * 0.5 * y @ self.own @ y + self.sign * made @ self.joint @ y
        return value, (vars, {"loss/disc": value}, context.memory)

    def gen_loss(self, made, params, disc, context):
        y = disc.params["y"]
        value = self.valley * 0.5 * made @ self.own @ made + made @ self.joint @ y
        return value, ({"loss/gen": value}, context.memory)


class ZeroSum(Quadratic):
    sign = -1.0


class Hamiltonian(ZeroSum):
    valley = 0.0


POTENTIAL, ZERO_SUM, HAMILTONIAN = map(Row, (Quadratic, ZeroSum, Hamiltonian))


def of_toy(row, rate):
    """What is observed of a game without networks; both players go down their slopes at this rate."""
    rates = {f"optim.{who}.lr": rate for who in ("gen", "disc")}
    c = tiny(**{**SGD, **rates, "objective": row})
    recipe, nets, hyper = parts(c, (1,))
    state = init(recipe, nets, hyper, 0)
    return jax.jit(Observer(recipe, nets))(state, ONES)


def test_the_bilinear_game_is_nothing_but_rotation():
    """x = 1, y = 0.5, slopes (y, -x): D goes to 0.5 + a, then G to 1 - a (0.5 + a)."""
    a = 0.1
    seen = of_toy("tests.bilinear:BILINEAR", a)
    want = {
        "grad/gen/x": 0.5,
        "grad/disc/y": 1.0,
        "weight/gen": 1.0,
        "weight/disc": 0.5,
        "update/disc": a / 0.5,
        "update/gen": a * (0.5 + a),
        "cosine/gen": 1.0,
        "cosine/disc": 1.0,
        "game/rotation": 1.0,
        "game/attraction": 0.0,
    }
    assert set(seen) == set(want)  # no network: nothing of first layers and kernels
    for name, value in want.items():
        np.testing.assert_allclose(seen[name], value, rtol=1e-5, atol=1e-6)


def test_a_slope_that_turns_round_has_cosine_minus_one():
    seen = of_toy("tests.bilinear:BILINEAR", 3.0)  # x -> 1 - 3 * 3.5
    np.testing.assert_allclose(seen["cosine/disc"], -1.0, rtol=1e-5)


@pytest.mark.parametrize("name", ["POTENTIAL", "ZERO_SUM", "HAMILTONIAN"])
def test_rotation_is_that_of_the_plane_of_both_updates(name):
    """However unlike its curvatures, a potential has none; without a potential there is nothing else."""
    rate = 0.01
    seen = of_toy(f"tests.test_observed:{name}", rate)
    game = {"POTENTIAL": Quadratic, "ZERO_SUM": ZeroSum, "HAMILTONIAN": Hamiltonian}
    game = game[name]
    (x,), (y,) = (tuple(p.values()) for p, _ in game(*3 * [None]).init(*3 * [None]))
    a, c = game.valley * game.own, game.joint
    move_y = -rate * (a @ y + game.sign * c.T @ x)
    move_x = -rate * (a @ x + c @ (y + move_y))
    u, v = (z / np.linalg.norm(z) for z in (move_x, move_y))
    gg, gd, dg, dd = u @ a @ u, u @ c @ v, game.sign * u @ c @ v, v @ a @ v
    whole = gg**2 + gd**2 + dg**2 + dd**2
    want = {
        "game/rotation": 0.5 * (gd - dg) ** 2 / whole,
        "game/attraction": (gg + dd) / np.sqrt(2 * whole),
        "update/gen": np.linalg.norm(move_x) / np.linalg.norm(x),
        "update/disc": np.linalg.norm(move_y) / np.linalg.norm(y),
    }
    for key, value in want.items():
        np.testing.assert_allclose(seen[key], value, rtol=1e-3, atol=1e-4)
    if name == "POTENTIAL":
        assert seen["game/rotation"] < 1e-4
    if name == "HAMILTONIAN":
        assert seen["game/rotation"] > 1 - 1e-4


# Networks


def setting(classes=0, source=(), shape=SIDE, **changes):
    """(recipe, networks, what begins, a step's batch) of a tiny GAN."""
    c = tiny(**changes)
    recipe = config.recipe_of(c, shape, classes, source)
    nets, hyper = models.build(recipe.model), config.hyper_of(c)
    begin = partial(init, recipe, nets, hyper, c.seed)
    rng = np.random.default_rng(2)
    label = (
        rng.integers(0, classes, (c.n_disc, 8)).astype(np.int32) if classes else None
    )
    given = rng.integers(0, 256, (c.n_disc, 8, *source), np.uint8) if source else None
    return recipe, nets, begin, Batch(pictures(c, 1, shape)[0], label, given)


PLAIN = {
    "model.depth": 1,
    "model.norm": "none",
    "optim.gen.name": "sgd",
    "optim.disc.name": "sgd",
}


@pytest.fixture(scope="module")
def plain():
    """A GAN of one hidden layer each, its observer, and what that says with other examples held out."""
    recipe, nets, begin, batch = setting(**PLAIN)
    observer, state = Observer(recipe, nets), jax.jit(begin)()
    others = jax.tree.map(lambda x: x[0, ::-1] // 2, batch)
    return observer, state, batch, others, jax.jit(observer)(state, batch, others)


def last(batch):
    """The last batch of a step."""
    return jax.tree.map(lambda x: x[-1], batch)


def test_slopes_are_the_gradients_of_both_losses(plain):
    observer, state, batch, _, seen = plain
    seats, objective = observer.seats(state, last(batch)), observer.turns.objective
    gen, disc = state.players
    keys = jax.random.split(seats.dream.key)
    z = objective.inputs(keys[0], seats.dream.batch)

    def make(params):
        return objective.generate(params, gen.vars, seats.dream, z, keys[1])[0]

    def disc_loss(params):
        return objective.disc_loss(params, {}, seats.disc, make(gen.params), both)[0]

    def gen_loss(params):
        return objective.gen_loss(make(params), params, disc, seats.gen)[0]

    for who, loss, params in (
        ("gen", gen_loss, gen.params),
        ("disc", disc_loss, disc.params),
    ):
        slope = jax.jit(jax.grad(loss))(params)
        for layer, value in layer_norms(slope).items():
            np.testing.assert_allclose(seen[f"grad/{who}/{layer}"], value, rtol=1e-4)
        flat = np.concatenate([x.ravel() for x in jax.tree.leaves(slope["Dense_0"])])
        np.testing.assert_allclose(
            np.sort(seen[f"gradients/{who}_first"]), np.sort(flat), rtol=1e-3, atol=1e-7
        )


def test_activations_that_are_off_are_counted(plain):
    """G's of its latents; D's of real and fake pictures, each half of the count."""
    observer, state, batch, _, seen = plain
    seats, objective = observer.seats(state, last(batch)), observer.turns.objective
    gen, disc = (player.params for player in state.players)
    noise_key, key = jax.random.split(seats.dream.key)
    z = objective.inputs(noise_key, seats.dream.batch)
    made = objective.generate(gen, {}, seats.dream, z, key)[0].image
    off = [
        np.asarray(x.reshape(8, -1) @ layer["kernel"] + layer["bias"]) <= 0
        for x, layer in (
            (z[0], gen["Dense_0"]),
            (seats.disc.batch.image, disc["Dense_0"]),
            (made, disc["Dense_0"]),
        )
    ]
    zero, dead = [x.mean() for x in off], [x.all(0).mean() for x in off]
    np.testing.assert_allclose(seen["sparsity/gen"], zero[0])
    np.testing.assert_allclose(seen["dead/gen"], dead[0])
    np.testing.assert_allclose(seen["sparsity/disc"], np.mean(zero[1:]), rtol=1e-6)
    np.testing.assert_allclose(seen["dead/disc"], np.mean(dead[1:]), rtol=1e-6)


def test_held_out_examples_are_judged_as_real_ones_are(plain):
    observer, state, batch, others, seen = plain
    observe = jax.jit(observer)
    own = observe(state, batch, jax.tree.map(lambda x: x[-1], batch))
    np.testing.assert_allclose(own["logit/held_out"], own["logit/real"], rtol=1e-5)
    assert abs(float(seen["logit/held_out"] - seen["logit/real"])) > 1e-3
    without = jax.eval_shape(observer, state, batch)
    assert set(seen) - set(without) == {"disc/held_out", "logit/held_out"}


def test_of_many_examples_every_second_one_is_looked_at():
    recipe, nets, begin, batch = setting(**PLAIN, batch_size=64)
    observe, state = jax.jit(Observer(recipe, nets)), jax.jit(begin)()
    seen = observe(state, batch)
    for first, same in ((1, True), (0, False)):
        image = batch.image.copy()
        image[:, first::2] //= 2
        assert (bits(observe(state, Batch(image))) == bits(seen)) == same
    packs = (
        Observer(replace(recipe, packing=64), nets),
        Observer(recipe, nets, devices=3),
    )
    assert all(len(o.fewer(last(batch)).image) == 64 for o in packs)


def test_a_dead_layer_is_seen(plain):
    observer, state, batch, others, seen = plain
    assert seen["sparsity/gen"] < 0.9 and seen["dead/gen"] < 0.5

    def killed(player):
        layer = player.params["Dense_0"]
        layer = {**layer, "bias": layer["bias"] - 1e3}
        return replace(player, params={**player.params, "Dense_0": layer})

    dead = replace(state, players=type(state.players)(*map(killed, state.players)))
    after = jax.jit(observer)(dead, batch, others)
    assert [
        float(after[f"{n}/{who}"])
        for n in ("sparsity", "dead")
        for who in ("gen", "disc")
    ] == 4 * [1]
    assert after["gradients/gen_first"].max() == 0 == after["grad/gen/Dense_0"]
    assert after["diversity/ratio"] == 0 and after["diversity/duplicates"] == 1


# Every objective, and what acts on slopes


LABELS = {"classes": 3, "model.depth": 1}
PAIRS = {
    "source": SIDE,
    "model.width": 4,
    "model.depth": 1,
    "model.latent_dim": 100,
    "loss": "least_squares",
}
EVERY = {
    "acgan": {
        **LABELS,
        "objective": "acgan",
        "model.condition": "concat_gen",
        "precision": "bfloat16",
    },
    "cycle": {
        **PAIRS,
        "objective": "cycle",
        "model.name": "cyclegan",
        "model.norm": "none",
        "trick.image_pool": 4,
    },
    "energies": {
        "loss": "began",
        "model.name": "began",
        "model.norm": "none",
        "model.width": 4,
    },
    "pairs of packs": {
        "loss": "rp",
        "model.depth": 1,
        "trick.packing": 2,
        "penalty.r1": 0.1,
        "penalty.every": 3,
        "penalty.lecam": 0.1,
    },
    "infogan": {
        "objective": "infogan",
        "model.codes": 1,
        "model.codes_continuous": 1,
        "n_disc": 2,
        "trick.disc_split": True,
        "trick.weight_clip": 0.1,
        "trick.disc_pretrain": 9,
        "model.disc_norm": "virtual",
        "model.remat": "all",
    },
    "image_to_image": {
        **PAIRS,
        "objective": "image_to_image",
        "model.name": "pix2pix",
        "game": "consensus",
    },
    "controlled augmentation": {
        **LABELS,
        "model.condition": "projection",
        "loss": "hinge",
        "augment.color": True,
        "augment.target": 0.6,
        "schedule": "optim.gen.lr=linear:2:8:1:0.5",
        "trick.stall_disc_loss": 0.1,
        "game": "unrolled",
    },
}
ALWAYS = {
    "logit/real",
    "logit/fake",
    "logit/held_out",
    "disc/held_out",
    "diversity/ratio",
    "diversity/nearest",
    "diversity/duplicates",
    "game/rotation",
    "game/attraction",
    *(
        f"{name}/{who}"
        for name in ("weight", "update", "cosine", "sparsity", "dead")
        for who in ("gen", "disc")
    ),
}


@pytest.mark.parametrize("name", EVERY)
def test_every_objective_is_observed(name):
    recipe, nets, begin, batch = setting(**EVERY[name])
    others = jax.tree.map(lambda x: x[0], batch)
    given = jax.eval_shape(begin), batch, others
    seen = jax.eval_shape(Observer(recipe, nets), *given)
    assert set(seen) >= ALWAYS
    shapes = {x.shape for n, x in seen.items() if not n.startswith("gradients/")}
    assert shapes == {()}


def test_all_that_is_observed_is_in_its_bounds():
    recipe, nets, begin, batch = setting(**EVERY["pairs of packs"])
    seen = jax.jit(Observer(recipe, nets))(
        jax.jit(begin)(), batch, jax.tree.map(lambda x: x[0], batch)
    )
    assert all(np.isfinite(x).all() for x in seen.values())
    for who in ("gen", "disc"):
        assert 0 <= seen[f"sparsity/{who}"] <= 1
        assert -1.001 <= seen[f"cosine/{who}"] <= 1.001
        kernels = [x for n, x in seen.items() if n.startswith(f"spectral/{who}/")]
        layers = [x for n, x in seen.items() if n.startswith(f"grad/{who}/")]
        assert 0 < len(kernels) <= len(layers)
        assert max(kernels) <= seen[f"weight/{who}"] * 1.001
        assert seen[f"gradients/{who}_first"].size > 10
    assert 0 <= seen["game/rotation"] <= 1 and abs(seen["game/attraction"]) <= 1


def test_players_that_rest_go_nowhere(plain):
    """G does not move, and the game in the plane of both is D's own."""
    observer, state, batch, others, _ = plain
    numbers = state.hyper["optim"]
    still = {**numbers, "gen": {**numbers["gen"], "lr": jnp.float32(0)}}
    state = replace(state, hyper={**state.hyper, "optim": still})
    seen = jax.jit(observer)(state, batch, others)
    assert seen["update/gen"] == 0 < seen["update/disc"]
    assert all(np.isfinite(x).all() for x in seen.values())


FIRSTS = [  # network, whether it is told a label, its first layers: in "mlp" the label is embedded before
    ("mlp", False, ("Dense_0", "Dense_0")),
    ("mlp", True, ("Dense_1", "Dense_1")),
    ("dcgan", True, ("Dense_0", "Conv_0")),
    ("resnet", False, ("Dense_0", "Conv_0")),
    ("r3gan", True, ("Dense_0", "Conv_0")),
]


@pytest.mark.parametrize(("name", "told", "firsts"), FIRSTS)
def test_the_first_layer_is_not_the_one_that_embeds_a_label(name, told, firsts):
    changes = {"model.name": name, "model.width": 4}
    if name == "r3gan":
        changes["model.norm"] = "none"
    if told:
        changes["model.condition"] = "concat"
    c = tiny(**changes)
    recipe = config.recipe_of(c, SIDE, 3 * told)
    nets, hyper = models.build(recipe.model), config.hyper_of(c)
    label = (jnp.zeros(2, jnp.int32),) if told else ()
    for net, x, first in zip(
        nets, (jnp.zeros((2, 4)), jnp.zeros((2, *SIDE))), firsts, strict=True
    ):

        def run(net=net, x=x):
            key = jax.random.key(0)
            params, vars = net.init(key, hyper, x, *label)
            asked = {**vars, "first": {}}
            plain = net.apply(params, vars, hyper, x, *label, key=key, train=True)[1]
            for _ in range(2):
                asked = net.apply(params, asked, hyper, x, *label, key=key, train=True)[
                    1
                ]
            return plain, asked

        plain, asked = jax.eval_shape(run)
        said = asked.pop("first")
        assert jax.tree.structure(plain) == jax.tree.structure(asked)
        assert list(said) == [first] and set(said[first]) == {"passes", "zero", "dead"}


def test_the_first_layer_is_looked_at_behind_its_norm():
    """Batch normalisation puts half of all activations below zero, whatever the layer gives."""
    _, nets, begin, _ = setting(**{"model.depth": 1, "model.norm": "batch"})
    state = jax.jit(begin)()
    gen = state.players.gen
    layer = {"kernel": gen.params["Dense_0"]["kernel"] * 1e3}
    z = jax.random.normal(jax.random.key(1), (512, 4))
    run = partial(nets.gen.apply, key=jax.random.key(0), train=True)
    vars = {**gen.vars, "first": {}}
    params = {**gen.params, "Dense_0": layer}
    said = jax.jit(run)(params, vars, state.hyper, z)[1]["first"]["Dense_0"]
    assert abs(said["zero"] - 0.5) < 0.05 and said["dead"] == 0


def test_every_name_is_explained():
    page = (Path(__file__).parents[1] / "docs/monitors.md").read_text()
    layers = {
        f"{n}/{who}/LAYER" for n in ("grad", "spectral") for who in ("gen", "disc")
    }
    histograms = {f"gradients/{who}_first" for who in ("gen", "disc")}
    missing = [n for n in ALWAYS | layers | histograms if f"`{n}`" not in page]
    assert missing == []
