"""Monitors in every way of running: mapped, on four devices, in whole runs, and that they change nothing."""

import json
from functools import partial

import jax
import numpy as np
import pytest

from gan_jax.chunk import make_chunk, make_look, streamed
from gan_jax.cli import main
from gan_jax.observed import make_observe
from gan_jax.parallel import PARALLEL
from gan_jax.step import init, make_step
from gan_jax.types import Batch
from tests.recipes import bits, close, parts, tiny
from tests.test_equivalences import stacked
from tests.test_observed import ALWAYS
from tests.test_train import CLOCK, RING, ROOT, outcome

OPTIMISED = True  # equalities of compiled programs
SIDE, STEPS = (8, 8, 1), 3
RICH = {
    "model.dropout": 0.1,
    "penalty.r1": 0.1,
    "optim.gen.name": "sgd",
    "optim.disc.name": "sgd",
    "optim.gen.lr": 0.05,
    "optim.disc.lr": 0.05,
}
TABLE = np.random.default_rng(0).integers(0, 256, (64, *SIDE)).astype(np.uint8)
ORDER = np.random.default_rng(1).integers(0, 64, (STEPS, 1, 8)).astype(np.int32)
OTHERS = Batch(TABLE[:8] // 2)


@pytest.fixture(scope="module")
def one():
    """(recipe, networks, first state, what is seen after three steps, by single programs for a step and a look)."""
    c = tiny(**RICH)
    recipe, nets, hyper = parts(c, SIDE)
    state = jax.jit(partial(init, recipe, nets, hyper))(c.seed)
    chunk = jax.jit(make_chunk(make_step(recipe, nets), streamed))
    feed = Batch(TABLE[ORDER])
    after, _ = chunk(state, feed, STEPS)
    look = jax.jit(make_look(make_observe(recipe, nets), streamed))
    return recipe, nets, state, after, look, look(after, feed, OTHERS, STEPS)


def test_it_is_the_last_batch_of_the_feed_that_is_looked_at(one):
    *_, after, look, seen = one
    feed = np.zeros((STEPS + 4, 1, 8, *SIDE), np.uint8)
    feed[:STEPS] = TABLE[ORDER]
    other = look(after, Batch(TABLE[ORDER][::-1].copy()), OTHERS, STEPS)
    assert bits(look(after, Batch(TABLE[ORDER]), OTHERS, 1)) == bits(other)
    assert bits(other) != bits(seen)


def test_members_of_a_population_see_what_each_would_alone(one):
    recipe, nets, state, after, look, seen = one
    states, feed = stacked([state, after]), Batch(TABLE[ORDER])
    see = make_look(make_observe(recipe, nets), streamed)
    both = jax.jit(jax.vmap(see, (0, None, None, None)))(states, feed, OTHERS, STEPS)
    for i, alone in enumerate((look(state, feed, OTHERS, STEPS), seen)):
        member = jax.tree.map(lambda x, i=i: x[i], both)
        close(member, alone, rtol=2e-3, atol=1e-4)


def on_four(mode, recipe, nets, after):
    runner = PARALLEL[mode](recipe, nets, Batch(TABLE), False, OTHERS)
    state = runner.place(after)
    before = bits(state)
    seen = runner.look(state, runner.feed(ORDER, STEPS), np.int32(STEPS))
    assert bits(state) == before
    return seen


def test_four_devices_see_what_one_does(one):
    recipe, nets, _, after, _, seen = one
    close(on_four("jit", recipe, nets, after), seen, rtol=2e-3, atol=1e-4)


def test_under_pmap_each_device_looks_at_its_share(one):
    """Of their own noise and shares of a batch: the same names, and what is no estimate is the same."""
    recipe, nets, _, after, _, seen = one
    four = on_four("pmap", recipe, nets, after)
    assert {n: x.shape for n, x in four.items()} == {
        n: x.shape for n, x in seen.items()
    }
    for name, value in four.items():
        assert np.isfinite(value).all()
        if name.startswith(("spectral/", "weight/")):
            np.testing.assert_allclose(value, seen[name], rtol=1e-5)


def trained(folder, *words, code=0):
    small = ["batch_size=8", "model.width=8", "steps=12", "log_every=4", "scan_steps=3"]
    small += ["checkpoint_every=6", "sample_every=0"]
    words = [*RING, *(f"--config.{word}" for word in small), *words]
    assert main([*words, f"--workdir={folder}"]) == code
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [
        {k: v for k, v in json.loads(line).items() if k not in CLOCK} for line in lines
    ]


def test_monitors_change_no_byte_and_are_in_the_rows_alone(tmp_path):
    on = trained(tmp_path / "on")
    off = trained(tmp_path / "off", "--config.monitor=false")
    assert outcome(tmp_path / "on")[0] == outcome(tmp_path / "off")[0]
    new = set(on[0]) - set(off[0])
    # points have no test split, so nothing is held out
    assert new >= ALWAYS - {"disc/held_out", "logit/held_out"}
    assert new.isdisjoint({"disc/held_out", "disc/accuracy_real", "loss/disc_fake"})
    assert [{k: v for k, v in row.items() if k not in new} for row in on] == off
    assert len({row["game/rotation"] for row in on}) == 3


def test_a_run_that_halts_is_observed_to_its_last_row(tmp_path):
    """The learning rate becomes huge after the eighth step."""
    schedule = "--config.schedule=optim.gen.lr=step:8:8:1e-4:3e37"
    rows = trained(tmp_path, "--config.optim.gen.lr=10", schedule, code=3)
    assert [row["step"] for row in rows] == [4, 8]
    assert all(value is not None for row in rows for value in row.values())


def test_pictures_of_the_test_split_are_held_out(tmp_path):
    words = ["batch_size=4", "model.width=4", "steps=2", "log_every=2"]
    words += ["sample_every=0", "checkpoint_every=0"]
    words = [f"--config.{word}" for word in words]
    path = f"--config={ROOT}/configs/dcgan_fashion.py"
    assert main([path, *words, f"--workdir={tmp_path}"]) == 0
    (row,) = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert 0 < row["disc/held_out"] < 1 and "spectral/gen/ConvTranspose_0" in row
