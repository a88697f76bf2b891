"""Rules of play: the closed forms of the xy game, and each rule by hand on small networks."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_jax import config, models
from gan_jax.games import GAMES, Deal
from gan_jax.losses import LOSSES
from gan_jax.models import ENERGY_MODELS
from gan_jax.parallel import PARALLEL
from gan_jax.step import init, make_step, prepare
from gan_jax.tricks import scheduled
from gan_jax.turns import Turns
from gan_jax.types import Batch, Pair
from tests.bilinear import ONES, SGD, spectral_radius, xy
from tests.game import played
from tests.recipes import bits, close, parts, pictures, start, tiny

TOGETHER = [name for name, row in GAMES.items() if row.together]


def xy_game(lr, **changes):
    """(step(state), first state) of the xy game."""
    rates = {"optim.gen.lr": lr, "optim.disc.lr": lr}
    step, state = start(tiny(**{**SGD, **rates, **changes}), (1,))
    return jax.jit(lambda s: step(s, ONES)), state


def walked(lr, steps, **changes):
    """[x, y] before and after each of the steps."""
    step, state = xy_game(lr, **changes)
    seen = [xy(state)]
    for _ in range(steps):
        state, _ = step(state)
        seen.append(xy(state))
    return np.array(seen, np.float64)


OPTIMISTIC = {"optim.gen.name": "optimistic_gd", "optim.disc.name": "optimistic_gd"}
RADII = [  # (how, lr, published or computed closed form)
    ({"game": "simultaneous"}, 0.1, 1.0050),
    ({"game": "simultaneous"}, 0.2, 1.0198),
    ({"game": "simultaneous"}, 0.5, 1.1180),
    ({}, 0.1, 1.0),
    ({}, 0.2, 1.0),
    ({}, 0.5, 1.0),
    ({"game": "extra_gradient"}, 0.1, 0.99504),
    ({"game": "extra_gradient"}, 0.2, 0.98061),
    ({"game": "extra_gradient"}, 0.5, 0.90139),
    ({"game": "simultaneous", **OPTIMISTIC}, 0.1, 0.99494),
    ({"game": "simultaneous", **OPTIMISTIC}, 0.2, 0.97891),
    ({"game": "simultaneous", **OPTIMISTIC}, 0.5, 0.70711),
    ({"game": "simultaneous", **OPTIMISTIC}, 1.0, 1.93185),
    ({"game": "consensus", "game_args.consensus": 1.0}, 0.2, 0.82462),
    ({"game": "consensus", "game_args.consensus": 0.5}, 0.2, 0.92195),
]


@pytest.mark.parametrize(("how", "lr", "radius"), RADII)
def test_the_xy_game_moves_as_its_closed_form(how, lr, radius):
    step, state = xy_game(lr, **how)
    state, _ = step(state)  # optimism's first step has no last slope
    assert spectral_radius(step, state) == pytest.approx(radius, abs=5e-5)


@pytest.mark.parametrize("beta", [-0.5, -0.25, 0.5])
@pytest.mark.parametrize("game", ["alternating", "simultaneous"])
def test_negative_momentum_follows_its_recursion(game, beta):
    """Gidel et al. 2019 (arXiv:1807.04740): below 0 it converges in the alternating game, and nowhere in the other."""
    lr, steps = 0.2, 60
    momentum = {"optim.gen.momentum": beta, "optim.disc.momentum": beta}
    seen = walked(lr, steps, game=game, **momentum)
    x, y, dx, dy = 1.0, 0.5, 0.0, 0.0
    for t in range(steps):
        assert seen[t] == pytest.approx([x, y], rel=1e-4, abs=1e-4)
        old = x
        if game == "simultaneous":
            dx, dy = beta * dx - lr * y, beta * dy + lr * old
            x, y = x + dx, y + dy
        else:  # D moves first
            dy = beta * dy + lr * x
            y += dy
            dx = beta * dx - lr * y
            x += dx
    step, state = xy_game(lr, game=game, **momentum)
    radius = spectral_radius(step, step(state)[0])
    assert (radius < 1) == (game == "alternating" and beta < 0)


@pytest.mark.parametrize("k", [1, 3, 7])
def test_the_unrolled_xy_game_is_attracted(k):
    """y after k further steps is y + k a x, so G's slope is that of x (y + k a x): y + 2 k a x."""
    lr = 0.1
    how = {"game": "unrolled", "game_args.unroll": k}
    seen = walked(lr, 40, **how)
    x, y = 1.0, 0.5
    for t in range(40):
        assert seen[t] == pytest.approx([x, y], rel=1e-4, abs=1e-5)
        y += lr * x
        x -= lr * (y + 2 * k * lr * x)
    assert np.hypot(*seen[-1]) < 0.8 * np.hypot(*seen[0])


def test_simultaneous_spirals_out_and_alternating_stays():
    spiral, orbit = (
        np.hypot(*walked(0.1, 100, game=game).T)
        for game in ("simultaneous", "alternating")
    )
    assert spiral[-1] / spiral[0] == pytest.approx(1.01**50, rel=1e-4)  # 1.64
    assert 0.9 < orbit.min() / orbit[0] and orbit.max() / orbit[0] < 1.1


def test_extra_gradient_with_adam_moves_the_moments_twice():
    """Gidel et al. 2019, algorithm 4, written out with optax."""
    adam = {f"optim.{p}.name": "adam" for p in ("gen", "disc")}
    seen = walked(0.05, 20, game="extra_gradient", **adam)
    tx = optax.adam(0.05, b1=0.5, b2=0.999)
    w = jnp.array([1.0, 0.5])
    opts = [tx.init(w[0]), tx.init(w[1])]

    def slopes(w):
        return w[1], -w[0]

    def step(w, opts, at):
        new = [tx.update(g, o) for g, o in zip(slopes(at), opts, strict=True)]
        return w + jnp.stack([u for u, _ in new]), [o for _, o in new]

    for t in range(20):
        assert seen[t] == pytest.approx(np.array(w), abs=1e-5)
        half, opts = step(w, opts, w)
        w, opts = step(w, opts, half)


def test_adam_with_a_negative_moment():
    seen = walked(
        0.05,
        10,
        **{f"optim.{p}.name": "adam" for p in ("gen", "disc")},
        **{f"optim.{p}.b1": -0.5 for p in ("gen", "disc")},
    )
    w, m, v = np.array([1.0, 0.5]), np.zeros(2), np.zeros(2)
    for t in range(10):
        assert seen[t] == pytest.approx(w, abs=1e-5)
        for player in (1, 0):  # D first
            g = (w[1], -w[0])[player]
            m[player] = -0.5 * m[player] + 1.5 * g
            v[player] = 0.999 * v[player] + 0.001 * g * g
            mean = m[player] / (1 - (-0.5) ** (t + 1))
            root = np.sqrt(v[player] / (1 - 0.999 ** (t + 1)))
            w[player] -= 0.05 * mean / (root + 1e-8)


# -- on networks

SMOOTH = {  # twice differentiable almost everywhere, and no moments
    "model.norm": "none",
    "optim.gen.name": "sgd",
    "optim.disc.name": "sgd",
    "optim.gen.lr": 0.1,
    "optim.disc.lr": 0.1,
    "ema_decay": 0.0,
}


def by_hand(c, **settings):
    """(turns, state, batch, deal) of the first step of a config."""
    recipe, nets, hyper = parts(c)
    state = init(recipe, nets, hyper, 0)
    batch = Batch(pictures(c, 1)[0])
    key = jax.random.fold_in(state.key, 0)
    flip, disc, gen = jax.random.split(key, 3)
    numbers = scheduled((), state.hyper, state.step)
    deal = Deal(prepare(batch, False, flip), numbers, state.step, Pair(gen, disc))
    return Turns(recipe, nets, None), state, batch, deal


def losses(turns, deal):
    """L_D and L_G as functions of both players' parameters, with this step's noise."""

    def both(state, gen, disc):
        players = Pair(
            replace(state.players.gen, params=gen),
            replace(state.players.disc, params=disc),
        )
        dream, judge = deal.disc(0, {})
        made = turns.imagine(players.gen, dream)[0]
        of_disc = turns.objective.disc_loss(disc, {}, judge, made, lambda *x: x)[0]
        judge = deal.gen(0, {})[1]
        of_gen = turns.objective.gen_loss(made, gen, players.disc, judge)[0]
        return of_disc, of_gen

    return both


def stepped(game, **changes):
    c = tiny(**SMOOTH, game=game, **changes)
    turns, state, batch, deal = by_hand(c)
    recipe, nets, _ = parts(c)
    after, metrics = jax.jit(make_step(recipe, nets))(state, batch)
    assert not after.halted
    return turns, state, deal, after, metrics


def slopes_of(turns, deal, state):
    both = losses(turns, deal)

    def field(params):
        gen = jax.grad(lambda p: both(state, p, params.disc)[1])(params.gen)
        disc = jax.grad(lambda p: both(state, params.gen, p)[0])(params.disc)
        return Pair(gen, disc)

    return field


def params_of(state):
    return Pair(state.players.gen.params, state.players.disc.params)


def minus(a, b, factor):
    return jax.tree.map(lambda x, y: x - factor * y, a, b)


def test_simultaneous_steps_down_both_slopes_of_one_point():
    turns, state, deal, after, _ = stepped("simultaneous")
    old = params_of(state)
    slopes = jax.jit(slopes_of(turns, deal, state))(old)
    close(params_of(after), minus(old, slopes, 0.1), rtol=1e-5, atol=1e-6)
    usual = stepped("alternating")[3].players
    assert bits(usual.disc) == bits(after.players.disc)
    assert bits(usual.gen) != bits(after.players.gen)


def test_extra_gradient_steps_down_the_slopes_of_the_look_ahead():
    turns, state, deal, after, _ = stepped("extra_gradient")
    field = jax.jit(slopes_of(turns, deal, state))
    old = params_of(state)
    there = minus(old, field(old), 0.1)
    close(params_of(after), minus(old, field(there), 0.1), rtol=1e-5, atol=1e-6)


def test_consensus_adds_the_gradient_of_half_the_squared_field():
    turns, state, deal, after, metrics = stepped(
        "consensus", **{"game_args.consensus": 3.0}
    )
    field = slopes_of(turns, deal, state)
    old = params_of(state)

    def half(params):
        return 0.5 * sum(jnp.sum(x * x) for x in jax.tree.leaves(field(params)))

    value, bend = jax.jit(jax.value_and_grad(half))(old)
    assert float(metrics["game/field"]) == pytest.approx(float(value), rel=1e-5)
    assert float(optax.tree.norm(bend)) > 0.01
    bent = jax.tree.map(lambda v, b: v + 3.0 * b, jax.jit(field)(old), bend)
    close(params_of(after), minus(old, bent, 0.1), rtol=1e-5, atol=1e-6)


def test_unrolled_differentiates_through_the_steps_of_d():
    turns, state, deal, after, _ = stepped("unrolled", **{"game_args.unroll": 2})
    both = losses(turns, deal)
    old = params_of(state)

    def down(gen, disc):
        slope = jax.grad(lambda p: both(state, gen, p)[0])(disc)
        return minus(disc, slope, 0.1)

    disc = jax.jit(down)(old.gen, old.disc)

    def ahead(gen):
        return both(state, gen, down(gen, down(gen, disc)))[1]

    slope = jax.jit(jax.grad(ahead))(old.gen)
    close(params_of(after).disc, disc, rtol=1e-5, atol=1e-6)
    close(params_of(after).gen, minus(old.gen, slope, 0.1), rtol=1e-5, atol=1e-6)
    blind = jax.grad(
        lambda p: both(state, p, jax.lax.stop_gradient(down(p, down(p, disc))))[1]
    )
    blind = jax.jit(blind)(old.gen)
    away = jax.tree.map(lambda a, b: jnp.abs(a - b).max(), slope, blind)
    assert max(map(float, jax.tree.leaves(away))) > 1e-4, "the steps matter"


def test_unrolled_adam_has_a_derivative_where_a_slope_is_zero():
    """A unit that no example reaches has slope 0, and Adam's root an infinite derivative there."""
    states, metrics = played(3, game="unrolled", **{"model.norm": "none"})
    assert not states[-1].halted
    recipe_changes = {"model.width": 64, "batch_size": 8}
    states, _ = played(
        2, game="unrolled", **recipe_changes, numbers={"model.init_std": 0.0}
    )
    assert not states[-1].halted


# -- every loss, objective and network

OBJECTIVES = {
    "noise_to_image": {},
    "acgan": {"objective": "acgan", "model.condition": "concat_gen"},
    "infogan": {"objective": "infogan", "model.codes": 1, "model.codes_continuous": 1},
    "image_to_image": {"objective": "image_to_image", "model.name": "pix2pix"},
    "cycle": {"objective": "cycle", "model.name": "cyclegan", "trick.image_pool": 3},
}
FED_PICTURES = ("image_to_image", "cycle")


def traced(side=4, **changes):
    """The step of a config gives a state of the same kind; nothing is compiled."""
    pictures = changes.get("objective") in FED_PICTURES
    side, latent = (8, {"model.latent_dim": 100}) if pictures else (side, {})
    c = tiny(**{"model.depth": 1, "model.norm": "none", **latent, **changes})
    shape = (side, side, 1)
    recipe = config.recipe_of(c, shape, 3, shape if pictures else ())
    nets = models.build(recipe.model)
    before = jax.eval_shape(partial(init, recipe, nets, config.hyper_of(c)), 0)
    image = jax.ShapeDtypeStruct((c.n_disc, 8, side, side, 1), np.uint8)
    label = jax.ShapeDtypeStruct((c.n_disc, 8), np.int32)
    step = make_step(recipe, nets)
    batch = Batch(image, label, image if pictures else None)
    after, metrics = jax.eval_shape(step, before, batch)
    same = jax.tree.map(
        lambda a, b: (a.shape, a.dtype) == (b.shape, b.dtype), before, after
    )
    assert jax.tree.all(same) and {"loss/gen", "loss/disc"} <= set(metrics)


@pytest.mark.parametrize("game", ["consensus", "unrolled"])
@pytest.mark.parametrize("loss", [n for n in LOSSES if not LOSSES[n].energy])
def test_the_rules_of_second_derivatives_take_every_loss(game, loss):
    traced(game=game, loss=loss)


@pytest.mark.parametrize(
    ("game", "objective"),
    [
        *((game, name) for game in GAMES for name in OBJECTIVES if name != "cycle"),
        ("unrolled", "cycle"),
        ("consensus", "cycle"),  # it has both slopes, as the two that are left out
    ],
)
def test_every_rule_takes_every_objective(game, objective):
    traced(game=game, **OBJECTIVES[objective])


@pytest.mark.parametrize("game", ["extra_gradient", "consensus", "unrolled"])
@pytest.mark.parametrize("loss", ["saturating", "rp"])
def test_rules_and_losses_run(game, loss):
    plain = {"model.depth": 1, "model.norm": "none"}
    states, metrics = played(2, game=game, loss=loss, **plain)
    assert not states[-1].halted and np.isfinite(metrics[-1]["loss/gen"])


@pytest.mark.parametrize("game", GAMES)
def test_every_rule_takes_energies(game):
    name = ENERGY_MODELS[0]
    traced(8, game=game, loss="began", **{"model.name": name, "model.width": 4})


@pytest.mark.parametrize(
    "changes",
    [
        {"model.disc_spectral": True},
        {"penalty.r1": 1.0, "loss": "rp", "model.norm": "none"},
    ],
    ids=["spectral", "r1"],
)
@pytest.mark.parametrize("game", ["consensus", "unrolled"])
def test_second_derivatives_of_the_fast_convolutions_are_those_of_the_plain_ones(
    game, changes
):
    """No rule needs model.impl=plain."""
    sgd = {"optim.gen.name": "sgd", "optim.disc.name": "sgd", "game": game}
    small = {"model.name": "dcgan", "model.width": 2, "game_args.unroll": 2}
    ends = []
    for impl in ("fast", "plain"):
        states, _ = played(1, 8, **changes, **sgd, **small, **{"model.impl": impl})
        assert not states[-1].halted
        ends.append(params_of(states[-1]))
    close(*ends, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("game", GAMES)
def test_four_devices_play_as_one_under_pmap(game):
    """Of slopes that differ by device, the field is their mean."""
    c = tiny(**{**SGD, "batch_size": 8}, game=game, **{"optim.gen.lr": 0.3})
    recipe, nets, hyper = parts(c, (1,))
    data = np.random.default_rng(0).normal(2.0, 1.0, (8, 1)).astype(np.float32)
    ends = []
    for parallel in ("jit", "pmap"):
        runner = PARALLEL[parallel](recipe, nets, Batch(data), False)
        state = runner.place(init(recipe, nets, hyper, 0))
        rows = np.arange(8, dtype=np.int32).reshape(1, 1, 8).repeat(3, 0)
        state, _ = runner.chunk(state, runner.feed(rows, 3), np.int32(3))
        ends.append(np.array(xy(state)))
    assert ends[0] == pytest.approx(ends[1], rel=1e-5)
    assert np.abs(ends[0] - [1.0, 0.5]).max() > 0.1, "it moved"


@pytest.mark.parametrize("game", ["consensus", "extra_gradient", "unrolled"])
def test_a_member_under_vmap_is_a_single_run(game):
    c = tiny(game=game, **SMOOTH, **{"model.depth": 1})
    recipe, nets, hyper = parts(c)
    batch = Batch(pictures(c, 1)[0])
    weights = np.float32([0.0, 2.0])
    step = make_step(recipe, nets)

    def one(weight):
        numbers = {**hyper, "game_args": {"consensus": weight}}
        return step(init(recipe, nets, numbers, 0), batch)[0].players

    many = jax.jit(jax.vmap(one))(weights)
    for i, weight in enumerate(weights):
        alone = jax.jit(one)(weight)
        close(jax.tree.map(lambda x, i=i: x[i], many), alone, rtol=1e-4, atol=1e-5)


def test_the_same_noise_in_every_update_of_g():
    still = {"optim.gen.lr": 0.0, "optim.gen.name": "sgd", "model.norm": "none"}

    def loss_of(**changes):
        return float(played(1, **still, **changes)[1][-1]["loss/gen"])

    once = loss_of()
    assert loss_of(n_gen=2, **{"trick.same_noise": True}) == pytest.approx(once)
    assert loss_of(n_gen=2) != pytest.approx(once, rel=1e-4)


@pytest.mark.parametrize("game", TOGETHER)
@pytest.mark.parametrize(
    "more", [{"n_disc": 2}, {"n_gen": 2}, {"trick.one_more_disc": True}]
)
def test_rules_that_move_together_move_once(game, more):
    with pytest.raises(config.ConfigError, match=f"game={game} moves each player once"):
        tiny(game=game, **more)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"game": "simultaneous", "trick.disc_split": True}, "disc_split updates D"),
        ({"trick.same_noise": True}, "same_noise repeats"),
        ({"game": "consensuss"}, "did you mean 'consensus'"),
        ({"optim.gen.momentum": -1.0}, "must be > -1 and < 1"),
        ({"game_args.unroll": 0}, "must be >= 1"),
        ({"game_args.consensus": -1.0}, "must be >= 0"),
    ],
)
def test_what_no_rule_can_do_is_refused(changes, said):
    with pytest.raises(config.ConfigError, match=said):
        tiny(**changes)
