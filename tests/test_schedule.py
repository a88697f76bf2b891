"""Schedules: the factor of every kind, the one number that it multiplies, the text that names them."""

import jax
import numpy as np
import pytest

from gan_jax.fields.schedule import Schedule, parse_schedules
from gan_jax.tricks import SCHEDULES, scheduled
from gan_jax.types import UserError

NUMBERS = {"begin": 100.0, "end": 300.0, "first": 1.0, "last": 0.25}
# factors at the quarter and the middle of the way from 1 to 1/4, by hand
ON_THE_WAY = {
    "linear": (0.8125, 0.625),
    "cosine": (0.25 + 0.75 * 0.5 * (1 + np.sqrt(0.5)), 0.625),
    "exponential": (np.sqrt(0.5), 0.5),
    "step": (1.0, 1.0),
}


def hyper(**numbers):
    return {
        "optim": {"gen": {"lr": 2.0, "b1": 3.0}, "disc": {"lr": 5.0}},
        "ema_decay": 7.0,
        "schedule": {"optim.gen.lr": {**NUMBERS, **numbers}},
    }


def factor(kind, step, **numbers):
    after = scheduled((("optim.gen.lr", kind),), hyper(**numbers), np.int32(step))
    return float(after["optim"]["gen"]["lr"]) / 2.0


def test_every_kind_is_checked_here():
    assert set(ON_THE_WAY) == set(SCHEDULES)


@pytest.mark.parametrize("kind", SCHEDULES)
def test_the_factor_of_each_kind(kind):
    quarter, middle = ON_THE_WAY[kind]
    wanted = {0: 1, 100: 1, 150: quarter, 200: middle, 300: 0.25, 9999: 0.25}
    for step, want in wanted.items():
        np.testing.assert_allclose(factor(kind, step), want, rtol=1e-6)


@pytest.mark.parametrize("kind", SCHEDULES)
def test_a_schedule_without_length_is_a_jump_at_its_step(kind):
    factors = [factor(kind, step, end=100.0) for step in (99, 100, 101)]
    np.testing.assert_allclose(factors, [1.0, 0.25, 0.25], rtol=1e-6)


def test_the_step_kind_jumps_at_the_end():
    assert [factor("step", step) for step in (299, 300)] == [1.0, 0.25]


@pytest.mark.parametrize("kind", ["linear", "cosine", "step"])
def test_a_factor_can_end_at_exactly_0(kind):
    assert factor(kind, 299, last=0.0) > 0 == factor(kind, 300, last=0.0)


def test_one_leaf_is_multiplied_and_nothing_else():
    before = hyper()
    after = scheduled((("optim.gen.lr", "linear"),), before, np.int32(200))
    assert float(after["optim"]["gen"].pop("lr")) == 1.25
    assert before["optim"]["gen"].pop("lr") == 2.0, "the state's numbers stay"
    assert jax.tree.structure(after) == jax.tree.structure(before)
    assert jax.tree.leaves(after) == jax.tree.leaves(before)


def test_several_schedules_each_multiply_their_own():
    before = hyper()
    before["schedule"]["ema_decay"] = {**NUMBERS, "first": 3.0}
    names = (("ema_decay", "linear"), ("optim.gen.lr", "step"))
    after = scheduled(names, before, np.int32(0))
    assert float(after["ema_decay"]) == 21.0
    assert float(after["optim"]["gen"]["lr"]) == 2.0
    assert after["optim"]["disc"] == before["optim"]["disc"]


def test_a_step_and_numbers_may_be_traced():
    traced = jax.jit(lambda h, t: scheduled((("optim.gen.lr", "cosine"),), h, t))
    got = float(traced(hyper(), np.int32(150))["optim"]["gen"]["lr"]) / 2.0
    np.testing.assert_allclose(got, ON_THE_WAY["cosine"][0], rtol=1e-6)


def test_the_text_of_two_schedules():
    text = " optim.gen.lr=linear:0:1e5:1:0 ; penalty.r1=exponential:10:20:2:0.5;"
    first = {"begin": 0.0, "end": 1e5, "first": 1.0, "last": 0.0}
    second = {"begin": 10.0, "end": 20.0, "first": 2.0, "last": 0.5}
    assert parse_schedules(text) == {
        "optim.gen.lr": Schedule("linear", first),
        "penalty.r1": Schedule("exponential", second),
    }
    assert parse_schedules("") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr=linar:0:1:1:0", "did you mean 'linear'"),
        ("lr=tests.own:constant:0:1:1:0", "unknown schedule kind 'tests.own'"),
        ("lr=linear:0:1:1", "expected FIELD=KIND:BEGIN:END:FIRST:LAST"),
        ("lr=linear:0:1:1:0:2", "expected FIELD=KIND:BEGIN:END:FIRST:LAST"),
        ("lr=linear:0:x:1:0", "expected FIELD=KIND"),
        ("lr=linear:0:inf:1:0", "expected FIELD=KIND"),
        ("lr=linear:0:1:nan:0", "expected FIELD=KIND"),
        ("lr=linear:2:1:1:0", "BEGIN <= END"),
        ("lr=linear:-1:1:1:0", "expected FIELD=KIND"),
        ("lr", "such as optim.gen.lr=linear:0:100000:1:0"),
        ("lr=exponential:0:1:1:0", "exponential needs factors above 0"),
        ("lr=exponential:0:1:-1:1", "exponential needs factors above 0"),
        ("lr=linear:0:1:1:0;lr=step:2:3:1:0", "names 'lr' twice"),
    ],
)
def test_a_text_that_cannot_be_read_is_refused_with_the_form(text, message):
    with pytest.raises(UserError, match=message):
        parse_schedules(text)
