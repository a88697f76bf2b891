"""Objectives of translation on linear networks: every term by hand, the pool, CycleGAN as two games; the configs."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import config, models
from gan_jax.auxiliary import Auxiliary, nothing
from gan_jax.cycle import DIRECTIONS, from_pool, pool_draws
from gan_jax.judging import Context
from gan_jax.losses import LOSSES
from gan_jax.objectives import OBJECTIVES
from gan_jax.step import init, make_step
from gan_jax.translation import Mapped
from gan_jax.turns import both
from gan_jax.types import Batch, Network, Pair, Player, Scores, UserError
from tests.recipes import bits, close

SIDE, B = 8, 4
SGD = {
    "optim.gen.name": "sgd",
    "optim.disc.name": "sgd",
    "optim.gen.lr": 0.01,
    "optim.disc.lr": 0.01,
}
PAIRED = {"objective": "image_to_image", "model.name": "pix2pix", **SGD}
CYCLE = {"objective": "cycle", "model.name": "cyclegan", **SGD}


def linear_gen(key, hyper, x):
    return {"w": jax.random.normal(key, ()), "b": jnp.float32(0.1)}, {"seen": 0.0}


def linear_make(params, vars, hyper, x, key=None, train=False):
    return params["w"] * x[..., :1] + params["b"], {"seen": vars["seen"] + 1}


def linear_disc(key, hyper, x):
    return {"v": jax.random.normal(key, (x.shape[-1],))}, {}


def linear_judge(params, vars, hyper, x, key=None, train=False):
    """Two patches a picture: its upper and its lower half."""
    halves = (x * params["v"]).reshape(len(x), 2, -1).mean(-1)
    return Scores(halves.reshape(-1), halves), vars


NETS = Pair(Network(linear_gen, linear_make), Network(linear_disc, linear_judge))


def configured(**changes):
    c = config.base()
    for name, value in {"batch_size": B, **changes}.items():
        config.override(c, name, value)
    return config.validate(c)


def recipe_of(c, source=(SIDE, SIDE, 1)):
    return config.recipe_of(c, (SIDE, SIDE, 1), 0, source)


def bound(source=(SIDE, SIDE, 1), **changes):
    """(objective over linear networks, state, context) with float pictures."""
    c = configured(**changes)
    recipe = recipe_of(c, source)
    state = init(recipe, NETS, config.hyper_of(c), 3)
    objective = OBJECTIVES[recipe.objective].bind(recipe, NETS, lambda x: x)
    batch = jax.tree.map(lambda x: x[0], feed(source))
    return objective, state, Context(batch, state.hyper, state.memory, 0, state.key)


def feed(source=(SIDE, SIDE, 1), seed=0, n_disc=1):
    draws = np.random.default_rng(seed)
    pictures = [
        draws.uniform(-1, 1, (n_disc, B, *shape)).astype(np.float32)
        for shape in ((SIDE, SIDE, 1), source)
    ]
    return Batch(pictures[0], None, pictures[1])


def made_by(objective, state, context):
    gen, fed = state.players.gen, objective.inputs(context.key, context.batch)
    return objective.generate(gen.params, gen.vars, context, fed, context.key)


def gen_loss(objective, state, context):
    made, _ = made_by(objective, state, context)
    gen, disc = state.players.gen, state.players.disc
    value, (metrics, _) = objective.gen_loss(made, gen.params, disc, context)
    return value, metrics


def disc_loss(objective, state, context):
    made, _ = made_by(objective, state, context)
    disc = state.players.disc
    return objective.disc_loss(disc.params, disc.vars, context, made, both)


def test_distances_of_pairs_by_hand():
    weights = {"loss_args.l1": 7.0, "loss_args.l2": 0.5, "trick.adversarial": 0.25}
    objective, state, context = bound(**PAIRED, **weights)
    value, metrics = gen_loss(objective, state, context)
    image, _, source = (np.asarray(x) for x in context.batch)
    gen, v = (
        jax.tree.map(np.asarray, state.players.gen.params),
        np.asarray(state.players.disc.params["v"]),
    )
    fake = gen["w"] * source + gen["b"]
    l1, l2 = np.abs(fake - image).mean(), ((fake - image) ** 2).mean()
    pair = (np.concatenate([source, fake], -1) * v).reshape(B, 2, -1).mean(-1)
    game = np.log1p(np.exp(-pair)).mean()
    np.testing.assert_allclose(metrics["loss/l1"], l1, rtol=1e-5)
    np.testing.assert_allclose(metrics["loss/l2"], l2, rtol=1e-5)
    np.testing.assert_allclose(metrics["loss/gen"], game, rtol=1e-5)
    expected = 0.25 * game + 7 * l1 + 0.5 * l2
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_disc_is_shown_the_source_first_and_enlarged_or_not_at_all():
    objective, state, context = bound((4, 4, 3), **PAIRED)
    assert state.players.disc.params["v"].shape == (4,)
    (seen,) = objective.judged(context.batch, context.batch.image)
    large = np.kron(context.batch.source, np.ones((1, 2, 2, 1)))
    np.testing.assert_array_equal(seen[..., :3], large)
    np.testing.assert_array_equal(seen[..., 3:], context.batch.image)
    blind, state, context = bound(**PAIRED, **{"model.disc_source": False})
    assert state.players.disc.params["v"].shape == (1,)
    (seen,) = blind.judged(context.batch, context.batch.image)
    np.testing.assert_array_equal(seen, context.batch.image)


def test_penalties_of_patches_are_of_their_sum_sample_by_sample():
    """r1 of a linear critic: half |v|^2 / n of the sum of a sample's logits, n pixels in each of two patches."""
    _, state, context = bound(**PAIRED, **{"penalty.r1": 1.0})
    objective, *_ = bound(**PAIRED, **{"penalty.r1": 1.0})
    _, (_, metrics, _) = disc_loss(objective, state, context)
    v = np.asarray(state.players.disc.params["v"])
    n = SIDE * SIDE // 2 * len(v)
    slope = (v**2).sum() / n**2 * SIDE * SIDE
    np.testing.assert_allclose(metrics["penalty/r1"], 0.5 * slope, rtol=1e-4)


def moves_both_players(**changes):
    c = configured(**PAIRED, **changes)
    recipe = recipe_of(c)
    state = init(recipe, NETS, config.hyper_of(c), 3)
    after, metrics = jax.jit(make_step(recipe, NETS))(state, feed())
    assert not bool(after.halted) and metrics["logits/fake"].shape == (2 * B,)
    for old, new in zip(state.players, after.players, strict=True):
        assert bits(old.params) != bits(new.params)


@pytest.mark.parametrize("loss", [n for n in LOSSES if not LOSSES[n].energy])
def test_every_loss_translates(loss):
    moves_both_players(loss=loss)


def test_tricks_act_on_source_and_picture_together():
    flips = {"trick.label_flip": 0.3, "trick.top_k": 0.5, "trick.joint_batch": True}
    noise = {"trick.instance_noise": 0.1, "augment.translation": True}
    moves_both_players(**flips, **noise, **{"penalty.lecam": 0.1})


def test_cycle_and_identity_by_hand():
    weights = {"loss_args.cycle": 3.0, "loss_args.identity": 0.5}
    objective, state, context = bound(
        **CYCLE, **weights, **{"loss": "least_squares", "trick.adversarial": 0.0}
    )
    value, metrics = gen_loss(objective, state, context)
    b, _, a = (np.asarray(x) for x in context.batch)
    params = jax.tree.map(np.asarray, state.players.gen.params)

    def run(name, x):
        return params[name]["w"] * x + params[name]["b"]

    def apart(x, y):
        return np.abs(x - y).mean()

    cycle = apart(run("back", run("there", a)), a) + apart(
        run("there", run("back", b)), b
    )
    identity = apart(run("there", b), b) + apart(run("back", a), a)
    np.testing.assert_allclose(metrics["loss/cycle"], cycle, rtol=1e-5)
    np.testing.assert_allclose(metrics["loss/identity"], identity, rtol=1e-5)
    np.testing.assert_allclose(value, 3 * cycle + 0.5 * identity, rtol=1e-5)


def test_statistics_go_through_every_pass_of_a_generator():
    objective, state, context = bound(**CYCLE)
    _, vars = made_by(objective, state, context)
    assert {name: float(vars[name]["seen"]) for name in DIRECTIONS} == {
        "there": 3,
        "back": 3,
    }


def test_a_cycle_without_its_terms_is_two_games():
    """Loss, metrics, memory and slopes of both players equal those of two Mapped games with the keys of the halves."""
    changes = {
        **CYCLE,
        "loss": "least_squares",
        "loss_args.cycle": 0.0,
        "loss_args.identity": 0.0,
        "penalty.r1": 0.3,
        "penalty.lecam": 0.1,
        "trick.label_flip": 0.3,
    }
    objective, state, context = bound(**changes)
    single = Mapped(Auxiliary(nothing), objective.recipe, NETS, lambda x: x)
    gen, disc = state.players
    halves = objective.halves(context)
    np.testing.assert_array_equal(halves["back"].batch.image, context.batch.source)

    def whole(gens, discs):
        made, _ = objective.generate(
            gens, gen.vars, context, objective.inputs(None, context.batch), context.key
        )
        of_disc, (_, seen, kept) = objective.disc_loss(
            discs, disc.vars, context, made, both
        )
        of_gen, (more, _) = objective.gen_loss(made, gens, disc, context)
        return (of_disc, of_gen), ({**seen, **more}, kept)

    def apart(gens, discs):
        totals, metrics, kept = [0.0, 0.0], {}, {}
        for name, half in halves.items():
            fed = single.inputs(None, half.batch)
            made, _ = single.generate(
                gens[name], gen.vars[name], half, fed, context.key
            )
            of_disc, (_, seen, kept[name]) = single.disc_loss(
                discs[name], disc.vars[name], half, made, both
            )
            against = Player(disc.params[name], disc.vars[name], None)
            of_gen, (more, _) = single.gen_loss(made, gens[name], against, half)
            metrics[name] = {**seen, **more}
            totals = [totals[0] + of_disc, totals[1] + of_gen]
        return tuple(totals), (metrics, kept)

    slopes = [
        jax.jit(jax.jacrev(f, argnums=(0, 1), has_aux=True))(gen.params, disc.params)
        for f in (whole, apart)
    ]
    (one, (metrics, memory)), (two, (each, kept)) = slopes
    close(one, two, rtol=1e-5, atol=1e-7)
    close(memory, kept, rtol=1e-6)
    for name in ("loss/disc", "disc/real", "penalty/r1"):
        mean = 0.5 * (each["there"][name] + each["back"][name])
        np.testing.assert_allclose(metrics[name], mean, rtol=1e-6)
    for name in DIRECTIONS:
        own = each[name]["loss/gen"]
        np.testing.assert_allclose(metrics[f"loss/gen_{name}"], own, rtol=1e-6)
    logits = [each[name]["logits/real"] for name in DIRECTIONS]
    np.testing.assert_allclose(metrics["logits/real"], np.concatenate(logits))


def reference_pool(size):
    """The authors' ImagePool, with given draws."""
    pictures = []

    def query(picture, place, old):
        if len(pictures) < size:
            pictures.append(picture)
            return picture
        if not old:
            return picture
        kept, pictures[place] = pictures[place], picture
        return kept

    return query, pictures


def test_the_pool_is_the_authors():
    """200 pictures in batches of 8, a pool of 13: the same are shown and kept as by the list of the reference."""
    size, n = 13, 8
    query, kept = reference_pool(size)
    pool = {"pictures": jnp.zeros((size, 1, 1, 1)), "count": jnp.int32(0)}
    run, olds = jax.jit(from_pool), []
    for i in range(200 // n):
        key = jax.random.fold_in(jax.random.key(0), i)
        new = np.arange(n * i, n * (i + 1), dtype=np.float32) + 1
        shown, pool = run(pool, jnp.asarray(new.reshape(n, 1, 1, 1)), key)
        places, old = pool_draws(key, n, size)
        expected = [query(*x) for x in zip(new, places, old, strict=True)]
        np.testing.assert_array_equal(np.ravel(shown), expected)
        olds.append(np.mean(np.ravel(shown) != new))
    np.testing.assert_array_equal(np.ravel(pool["pictures"]), kept)
    assert olds[0] == 0 and 0.3 < np.mean(olds[2:]) < 0.7


def test_the_pool_moves_in_the_discriminators_turn_and_changes_what_it_sees():
    with_pool = {**CYCLE, "loss": "least_squares", "trick.image_pool": 3}
    c = configured(**with_pool)
    recipe = recipe_of(c)
    state = jax.jit(partial(init, recipe, NETS, config.hyper_of(c)))(3)
    step, plain = (
        jax.jit(make_step(recipe_of(configured(**{**with_pool, **more})), NETS))
        for more in ({}, {"trick.image_pool": 0})
    )
    after, _ = step(state, feed())
    objective = OBJECTIVES["cycle"].bind(recipe, NETS, lambda x: x)
    for name in DIRECTIONS:
        pool, real = after.memory[name]["pool"], feed()
        x = real.source[0] if name == "there" else real.image[0]
        params = state.players.gen.params[name]
        fakes = np.asarray(params["w"] * x + params["b"])
        stored = np.asarray(pool["pictures"])
        assert int(pool["count"]) == 3
        for picture in stored:
            assert min(abs(fakes - picture).max((1, 2, 3))) < 1e-6
    context = Context(
        jax.tree.map(lambda x: x[0], feed()), after.hyper, after.memory, 0, after.key
    )
    made, _ = made_by(objective, after, context)
    gen, disc = after.players
    _, (_, kept) = objective.gen_loss(made, gen.params, disc, context)
    assert bits(kept) == bits(after.memory)
    bare = type(after)(**{**vars(after), "memory": {name: {} for name in DIRECTIONS}})
    _, pooled = step(after, feed(seed=1))
    _, fresh = plain(bare, feed(seed=1))
    np.testing.assert_allclose(pooled["logits/real"], fresh["logits/real"], rtol=1e-6)
    assert abs(pooled["logits/fake"] - fresh["logits/fake"]).max() > 1e-3


def test_members_equal_single_runs():
    """A vmapped step of CycleGAN with a pool is each member's own."""
    c = configured(**CYCLE, **{"loss": "least_squares", "trick.image_pool": 3})
    recipe = recipe_of(c)
    step = make_step(recipe, NETS)
    start = partial(init, recipe, NETS, config.hyper_of(c))
    states = jax.vmap(start)(jnp.arange(3))
    feeds = [feed(seed=i) for i in range(3)]
    batch = jax.tree.map(lambda *x: np.stack(x), *feeds)
    many = jax.jit(jax.vmap(step))(*jax.jit(jax.vmap(step))(states, batch)[:1], batch)
    alone = jax.jit(step)
    for i in range(3):
        state, _ = alone(start(i), feeds[i])
        one = alone(state, feeds[i])
        close(jax.tree.map(lambda x, i=i: x[i], many)[1], one[1], rtol=1e-5, atol=1e-6)
        close(many[0].memory["there"]["pool"]["pictures"][i],
              one[0].memory["there"]["pool"]["pictures"], atol=1e-6)  # fmt: skip


CLIP = {"loss": "non_saturating", "trick.logit_clip": 16.118}


def test_clipped_logits_leave_no_gradient_and_are_logged_uncut():
    objective, state, context = bound(**PAIRED, **CLIP, **{"loss_args.l1": 0.0})
    free, *_ = bound(**PAIRED, **{"loss_args.l1": 0.0})

    def loss(objective, v, params):
        gen, disc = state.players
        disc = Player({"v": v}, disc.vars, None)
        fed = objective.inputs(None, context.batch)
        made, _ = objective.generate(params, gen.vars, context, fed, context.key)
        value, (metrics, _) = objective.gen_loss(made, params, disc, context)
        return value, metrics

    slope = jax.value_and_grad(loss, argnums=2, has_aux=True)
    start = {"w": jnp.float32(0.0), "b": jnp.float32(-1.0)}
    sure = jnp.array([0.0, 200.0])  # D takes the mean over source and picture
    (value, metrics), grads = slope(objective, sure, start)
    np.testing.assert_allclose(value, 16.118, rtol=1e-6)
    assert all(float(g) == 0 for g in jax.tree.leaves(grads))
    (value, _), grads = slope(free, sure, start)
    np.testing.assert_allclose(value, 100.0, rtol=1e-6)
    assert float(grads["b"]) == pytest.approx(-100.0, rel=1e-4)
    unsure = jnp.array([0.3, 5.0])
    cut, uncut = slope(objective, unsure, start), slope(free, unsure, start)
    assert bits(cut) == bits(uncut)
    disc = Player({"v": sure}, {}, None)
    made, _ = made_by(objective, state, context)
    made = made._replace(image=jnp.full_like(made.image, -1.0))
    _, (_, seen, _) = objective.disc_loss(disc.params, {}, context, made, both)
    np.testing.assert_allclose(seen["logits/fake"], -100.0, rtol=1e-6)


def test_data_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match="'image_to_image' turns source pictures"):
        bound((), **PAIRED)
    with pytest.raises(UserError, match="one shape; these are 4x4x1 and 8x8x1"):
        bound((4, 4, 1), **CYCLE)


CONFIGS = {  # source's and image's shape
    # pix2pix_edges is the same program with one channel less
    "pix2pix_colour": ((8, 8, 1), (8, 8, 3)),
    "cyclegan_shoes": ((8, 8, 1), (8, 8, 1)),
    "srgan_emoji": ((4, 4, 3), (8, 8, 3)),
}


def small(name, **changes):
    c = config.load(f"configs/{name}.py:smoke")
    for field, value in {"model.width": 4, "batch_size": 2, **changes}.items():
        config.override(c, field, value)
    return config.validate(c)


@pytest.mark.parametrize("name", CONFIGS)
def test_configs_train(name):
    """Three steps, in bfloat16 for one of them, move every parameter and end with finite numbers."""
    source, image = CONFIGS[name]
    more = {"precision": "bfloat16"} if name == "pix2pix_colour" else {}
    c = small(name, **more, **{"model.depth": 1})
    recipe = config.recipe_of(c, image, 0, source)
    nets = models.build(recipe.model)
    state = jax.jit(partial(init, recipe, nets, config.hyper_of(c)))(0)
    draws = np.random.default_rng(0)
    pictures = [
        draws.integers(0, 256, (1, c.batch_size, *shape)).astype(np.uint8)
        for shape in (image, source)
    ]
    step = jax.jit(make_step(recipe, nets))
    first = jax.device_get(state.players)
    for _ in range(3):
        state, metrics = step(state, Batch(pictures[0], None, pictures[1]))
    assert int(state.step) == 3 and not bool(state.halted)
    finite = [np.isfinite(x).all() for x in jax.tree.leaves(jax.device_get(metrics))]
    assert all(finite)
    for old, new in zip(first, jax.device_get(state.players), strict=True):
        same = jax.tree.map(lambda a, b: (a == b).all(), old.params, new.params)
        assert not any(jax.tree.leaves(same))
