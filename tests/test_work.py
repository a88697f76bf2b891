"""How much work a step is: its convolutions are counted, against what the mathematics needs.

A network of L convolutions takes L forward, L for its kernels' gradients, and one less than L for the gradient by its
activations, or L where its input is not fixed: pictures that G made, or what G's first dense layer made.
"""

import re
from functools import partial

import jax
import pytest

from gan_jax.step import init, make_step
from gan_jax.types import Batch
from tests.recipes import parts, pictures, tiny

SHAPE, L = (16, 16, 1), 2
DISC = L + 2 * L + 2 * (2 * L - 1)  # one pass of G, of D on both sides, and back
GEN = L + L + 2 * L  # D on the fakes, back to them, back through G
SQUARED = (
    3 * L
)  # the slope by the pictures, and its own gradient; its forward and last pass are the loss's
ANYWHERE = 6 * L - 1  # the same at points of its own: a forward and a last pass more

CASES = {
    "alternating": ({}, DISC + GEN),
    "a generator pass of its own": ({"trick.share_noise": False}, DISC + L + GEN),
    "simultaneous": ({"game": "simultaneous"}, DISC + GEN - L),
    "two of D": ({"n_disc": 2}, 2 * DISC + GEN),
    "two of G": ({"n_gen": 2}, DISC + 2 * GEN + L),
    "r1": ({"penalty.r1": 1.0}, DISC + GEN + SQUARED),
    "r1 and r2": ({"penalty.r1": 1.0, "penalty.r2": 1.0}, DISC + GEN + 2 * SQUARED),
    "gp": ({"penalty.gp": 1.0}, DISC + GEN + ANYWHERE),
}


def traced(changes, form="jaxpr"):
    """The step of a small DCGAN: as a jaxpr, or as XLA compiles it."""
    values = {"model.name": "dcgan", "model.width": 4, "model.impl": "plain"}
    c = tiny(**values, **changes)
    recipe, nets, hyper = parts(c, SHAPE)
    state = jax.eval_shape(partial(init, recipe, nets, hyper), 0)
    step, batch = jax.jit(make_step(recipe, nets)), Batch(pictures(c, 1, SHAPE)[0])
    if form == "jaxpr":
        return jax.make_jaxpr(step)(state, batch).jaxpr
    return step.lower(state, batch).compile().as_text()


def convolutions(jaxpr, branch):
    """How many convolutions a jaxpr runs; of a condition's branches those that `branch` (min or max) chooses."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "conv_general_dilated":
            total += 1
        inner = jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")
        )
        inner = [getattr(x, "jaxpr", x) for x in inner]
        counts = [convolutions(x, branch) for x in inner if hasattr(x, "eqns")]
        if counts:
            total += (
                branch(counts) if equation.primitive.name == "cond" else sum(counts)
            )
    return total


@pytest.mark.parametrize("name", CASES)
def test_a_step_has_no_convolution_too_many(name):
    changes, needed = CASES[name]
    assert len(re.findall(r" convolution\(", traced(changes, "compiled"))) == needed


def test_a_lazy_penalty_is_skipped():
    never, always, lazy = (
        traced({"penalty.r1": weight, "penalty.every": every})
        for weight, every in ((0.0, 1), (1.0, 1), (1.0, 4))
    )
    counts = [convolutions(jaxpr, sum) for jaxpr in (never, always)]
    assert [convolutions(lazy, branch) for branch in (min, max)] == counts
    assert counts[1] - counts[0] == SQUARED
