"""Tricks, penalties and controllers inside a whole step: what they change, and when."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.judging import Context, make_judge
from gan_jax.types import Batch
from tests.game import (
    SGD,
    feed,
    game,
    length,
    moved,
    of,
    played,
    scaled,
    with_disc,
    with_number,
)
from tests.recipes import bits, close, parts, tiny

ADAPTIVE = {
    **SGD,
    "augment.color": True,
    "augment.target": 0.6,
    "augment.kimg": 0.02,
}


def test_a_lazy_penalty_acts_in_every_third_iteration_three_times_as_strong():
    plain, _ = played(4, **SGD)
    lazy, metrics = played(4, **SGD, **{"penalty.r1": 2.0, "penalty.every": 3})
    for i in (1, 2):
        close(lazy[i].players, plain[i].players, rtol=0, atol=1e-7)
    values = [float(m["penalty/r1"]) for m in metrics]
    assert values[:2] == [0, 0] and values[2] > 0 == values[3]
    c, eager, state = game(**SGD, **{"penalty.r1": 6.0})
    state = replace(state, step=plain[2].step, players=plain[2].players)
    state, at_once = eager(state, feed(c, 4)[2])
    close(lazy[3].players, state.players, rtol=0, atol=1e-7)
    np.testing.assert_allclose(values[2], at_once["penalty/r1"], rtol=1e-5)
    assert of(lazy[3], "disc") != of(plain[3], "disc")


def test_pretraining_holds_the_generator_still_and_then_lets_it_go():
    states, _ = played(4, **SGD, **{"trick.disc_pretrain": 2})
    gens = [of(s, "gen") for s in states]
    assert gens[0] == gens[1] == gens[2] and len({tuple(g) for g in gens}) == 3
    discs = {tuple(of(s, "disc")) for s in states}
    assert len(discs) == 5


NORMED = {**SGD, "model.depth": 2, "model.norm": "batch"}
NEVER = {
    **NORMED,
    "trick.stall_disc_accuracy": 1.0,
    "trick.stall_disc_loss": -1e6,
    "trick.stall_gen_loss": -1e6,
}
ALWAYS = {
    "trick.stall_disc_accuracy": ("disc", 1e-6),
    "trick.stall_disc_loss": ("disc", 1e6),
    "trick.stall_gen_loss": ("gen", 1e6),
}


@pytest.mark.parametrize("bound", ALWAYS)
def test_a_player_beyond_its_bound_rests_with_optimizer_and_statistics(bound):
    player, value = ALWAYS[bound]
    other = {"gen": "disc", "disc": "gen"}[player]
    states, metrics = played(2, **{**NEVER, bound: value})
    assert len({tuple(of(s, player)) for s in states}) == 1
    assert len({tuple(of(s, other)) for s in states}) == 3
    assert [float(m[f"stall/{player}"]) for m in metrics] == [1, 1]
    assert [float(m[f"stall/{other}"]) for m in metrics] == [0, 0]


def test_bounds_that_are_never_reached_change_nothing():
    bound, _ = played(2, **NEVER)
    plain, _ = played(2, **NORMED)
    close(bound[-1].players, plain[-1].players, rtol=0, atol=1e-6)


CUTS = {"trick.weight_clip": 0.05, "optim.gen.clip": 1e-3, "optim.disc.clip": 1e-3}


def test_d_s_parameters_keep_within_the_weight_clip():
    states, _ = played(3, **SGD, **CUTS)
    for state in states[1:]:
        largest = [
            float(jnp.abs(x).max()) for x in jax.tree.leaves(state.players.disc.params)
        ]
        assert max(largest) == np.float32(0.05)
        gen = jax.tree.leaves(state.players.gen.params)
        assert max(float(jnp.abs(x).max()) for x in gen) > 0.1


@pytest.mark.parametrize("player", ["gen", "disc"])
def test_gradients_are_cut_at_their_norm_and_not_below(player):
    wide = {**SGD, "trick.weight_clip": 100.0, f"optim.{player}.lr": 1.0}
    for cut in (1e-3, 1e3):
        clips = {"optim.gen.clip": cut, "optim.disc.clip": cut}
        states, metrics = played(1, **{**wide, **clips})
        norm = float(metrics[0][f"grad/{player}"])
        assert 1e-3 < norm < 1e3, "the logged norm is that before the cut"
        np.testing.assert_allclose(
            length(moved(states, player)), min(cut, norm), rtol=1e-3
        )


def negated(params):
    """D's parameters with its last layer turned round."""
    last = params["Dense_1"]
    assert last["kernel"].shape[1] == 1, "the logit's layer"
    return {**params, "Dense_1": scaled(last, -1.0)}


def test_swapped_roles_are_the_plain_game_of_a_negated_discriminator():
    """The controller of augmentation included."""
    c, step, first = game(**ADAPTIVE)
    first.players.disc.params["Dense_1"]["bias"] += 1.0
    batch = feed(c, 1)[0]
    plain, metrics = step(first, batch)
    step = game(**ADAPTIVE, **{"trick.role_swap": True})[1]
    turned = with_disc(first, negated(first.players.disc.params))
    state, swapped = step(turned, batch)
    for name in ("loss/disc", "loss/gen", "logits/real", "augment/sign"):
        np.testing.assert_allclose(swapped[name], metrics[name], atol=1e-6)
    of_d = negated(state.players.disc.params)
    close(of_d, plain.players.disc.params, atol=1e-6)
    close(state.players.gen.params, plain.players.gen.params, atol=1e-6)
    assert of(step(first, batch)[0], "disc") != of(plain, "disc")
    assert float(metrics["augment/sign"]) != 0


def test_flipping_every_label_trains_d_in_swapped_roles():
    flipped, metrics = played(1, **ADAPTIVE, **{"trick.label_flip": 1.0})
    swapped, _ = played(1, **ADAPTIVE, **{"trick.role_swap": True})
    close(moved(flipped, "disc"), moved(swapped, "disc"), atol=1e-7)
    real, fake = (np.asarray(metrics[0][f"logits/{x}"]) for x in ("real", "fake"))
    want = np.mean(np.logaddexp(0, real)) + np.mean(np.logaddexp(0, -fake))
    np.testing.assert_allclose(metrics[0]["loss/disc"], want, rtol=1e-5)


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_a_joint_batch_matters_to_batch_norm_alone(norm):
    real, fake = jax.random.normal(jax.random.key(0), (2, 8, 4, 4, 1))
    answers = []
    for joint in (False, True):
        changes = {"model.norm": norm, "trick.joint_batch": joint}
        recipe, nets, hyper = parts(tiny(**changes))
        params, vars = nets.disc.init(jax.random.key(0), hyper, jnp.zeros((2, 4, 4, 1)))
        context = Context(Batch(real), hyper, {}, 0, None)
        keys = jax.random.split(jax.random.key(1))
        both = make_judge(recipe, nets).both
        answers.append(both(params, vars, context, real, 3 * fake, keys)[:2])
    assert [x.logits.shape for x in answers[1]] == [(8,), (8,)]
    alike = jax.tree.map(lambda a, b: np.allclose(a, b, atol=1e-5), *answers)
    assert jax.tree.all(alike) if norm == "none" else not any(jax.tree.leaves(alike))


def test_one_more_disc_is_one_more_update():
    one = parts(tiny(n_disc=2, **{"trick.one_more_disc": True}))[0]
    assert one == parts(tiny(n_disc=3))[0]


MATCHING = {
    **SGD,
    "trick.feature_matching": 1.0,
    "schedule": "trick.feature_matching=step:2:2:0:1",
}


def test_feature_matching_waits_for_its_schedule():
    plain, _ = played(3, **SGD)
    states, _ = played(3, **MATCHING)
    close(states[2].players, plain[2].players, rtol=0, atol=1e-7)
    assert length(moved(states, "gen")) > 0
    late = [moved(x, "gen") for x in (states, plain)]
    assert length(jax.tree.map(jnp.subtract, *late)) > 1e-4
    close(moved(states, "disc"), moved(plain, "disc"), rtol=0, atol=1e-6)


def test_without_its_adversarial_loss_g_learns_from_features_alone():
    states, metrics = played(3, **MATCHING, **{"trick.adversarial": 0.0})
    assert of(states[0], "gen") == of(states[2], "gen") != of(states[3], "gen")
    assert all(float(m["loss/gen"]) > 0 for m in metrics), "logged still"


def test_g_s_loss_is_the_weighted_sum_of_both():
    def update(adversarial, matching):
        numbers = {
            "trick.adversarial": adversarial,
            "trick.feature_matching": matching,
        }
        now = MATCHING | {"schedule": "trick.feature_matching=step:0:0:1:1"}
        states, metrics = played(1, numbers=numbers, **now)
        return moved(states, "gen"), metrics[0]

    adversarial, features = update(1.0, 0.0)[0], update(0.0, 1.0)[0]
    whole, metrics = update(2.0, 3.0)
    want = jax.tree.map(lambda a, b: 2 * a + 3 * b, adversarial, features)
    close(whole, want, rtol=1e-3, atol=1e-7)
    assert length(features) > 1e-3 and float(metrics["loss/feature_matching"]) > 0


def test_top_k_trains_g_with_the_best_fake_alone():
    few = {**SGD, "optim.disc.lr": 0.0, "trick.top_k": 0.125}
    _, metrics = played(1, **few)
    best = np.logaddexp(0, -float(metrics[0]["logits/fake"].max()))
    np.testing.assert_allclose(metrics[0]["loss/gen"], best, rtol=1e-5)
    everything, _ = played(1, **{**few, "trick.top_k": 1.0})
    plain, _ = played(1, **{**SGD, "optim.disc.lr": 0.0})
    close(everything[1].players.gen, plain[1].players.gen, atol=1e-7)


def test_packing_judges_samples_by_twos():
    plain, _ = played(1, **SGD)
    packed, metrics = played(1, **SGD, **{"trick.packing": 2})
    inputs = [
        s[1].players.disc.params["Dense_0"]["kernel"].shape[0] for s in (plain, packed)
    ]
    assert inputs == [16, 32] and metrics[0]["logits/fake"].shape == (4,)
    assert length(moved(packed, "gen")) > 0


@pytest.mark.parametrize(("answer", "p"), [(1.0, [0.4, 0.8, 1.0]), (-1.0, [0, 0, 0])])
def test_augmentation_follows_the_sign_of_d(answer, p):
    c, step, state = game(**{**ADAPTIVE, "optim.disc.lr": 0.0})
    blank = scaled(state.players.disc.params, 0.0)
    blank["Dense_1"]["bias"] += answer
    state = with_disc(state, blank)
    kept = {"p": jnp.float32(0.0), "sign": jnp.float32(answer)}
    state = replace(state, memory={"augment": kept})
    got = []
    for batch in feed(c, 3):
        state, metrics = step(state, batch)
        got.append(float(metrics["augment/p"]))
    np.testing.assert_allclose(got, p, atol=1e-6)
    np.testing.assert_allclose(metrics["augment/sign"], answer, rtol=1e-5)


def test_a_halt_restores_the_memory():
    c, step, state = game(**ADAPTIVE)
    kept = {"p": jnp.float32(0.5), "sign": jnp.float32(1.0)}
    state = replace(state, memory={"augment": kept})
    halted, _ = step(with_number(state, "trick.adversarial", np.nan), feed(c, 1)[0])
    assert bool(halted.halted) and bits(halted.memory) == bits(state.memory)
    going, _ = step(state, feed(c, 1)[0])
    assert bits(going.memory) != bits(state.memory)


def test_began_moves_k_by_its_balance():
    energies = {
        "model.name": "began",
        "model.width": 2,
        "loss": "began",
        "loss_args.gamma": 0.7,
        "loss_args.k_rate": 0.3,
    }
    states, metrics = played(2, 8, **SGD, **energies)
    k = 0.0
    for state, seen in zip(states[1:], metrics, strict=True):
        real, fake = float(seen["energy/real"]), float(seen["energy/fake"])
        np.testing.assert_allclose(seen["loss/disc"], real - k * fake, atol=1e-6)
        k = np.clip(k + 0.3 * (0.7 * real - fake), 0, 1)
        np.testing.assert_allclose(state.memory["k"], k, atol=1e-6)
        measure = real + abs(0.7 * real - fake)
        np.testing.assert_allclose(seen["began/measure"], measure, atol=1e-5)


def test_schedules_reach_the_optimizer_and_the_average():
    text = "optim.gen.lr=linear:0:2:1:0;ema_decay=step:2:2:1:0"
    states, _ = played(4, **SGD, schedule=text)
    gens = [bits(s.players.gen.params) for s in states]
    assert gens[0] != gens[1] != gens[2] and gens[2] == gens[3] == gens[4]
    assert bits(states[2].ema["params"]) != gens[2]
    assert bits(states[3].ema["params"]) == gens[3], "no average from step 2 on"
    full, _ = played(1, **SGD)
    close(states[1].players, full[1].players, atol=1e-7)


def test_a_virtual_norm_keeps_its_first_batch():
    states, _ = played(3, **{**SGD, "model.norm": "virtual"})
    for player in ("gen", "disc"):
        kept = [getattr(s.players, player).vars["reference"]["rows"] for s in states]
        assert not np.any(kept[0]) and np.any(kept[1])
        np.testing.assert_array_equal(kept[1], kept[3])
    real = feed(tiny(), 1)[0].image[0] / 127.5 - 1
    np.testing.assert_allclose(kept[1], np.tile(real, (4, 1, 1, 1)), atol=1e-6)
