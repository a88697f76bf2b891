"""Monitors in every way of running: mapped, on four devices, in whole runs, and that they change nothing."""

import json
from functools import partial

import jax
import numpy as np
import pytest

from gan_jax.chunk import make_look, streamed
from gan_jax.cli import main
from gan_jax.observed import Observer
from gan_jax.parallel import PARALLEL
from gan_jax.step import init
from gan_jax.types import Batch
from tests.recipes import bits, close, parts, tiny
from tests.test_equivalences import stacked
from tests.test_observed import ALWAYS
from tests.test_train import CLOCK, RING, ROOT, outcome

SIDE, STEPS = (8, 8, 1), 3
SMALL = {
    "model.depth": 1,
    "model.norm": "none",
    "model.dropout": 0.1,
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
    """(recipe, networks, two states, look, what it sees of the second one after a chunk)."""
    recipe, nets, hyper = parts(tiny(**SMALL), SIDE)
    states = tuple(map(jax.jit(partial(init, recipe, nets, hyper)), (0, 1)))
    look = jax.jit(make_look(Observer(recipe, nets), streamed))
    seen = look(states[1], Batch(TABLE[ORDER]), OTHERS, STEPS)
    return recipe, nets, states, look, seen


def test_it_is_the_last_batch_of_the_feed_that_is_looked_at(one):
    *_, (_, after), look, seen = one
    other = look(after, Batch(TABLE[ORDER][::-1].copy()), OTHERS, STEPS)
    assert bits(look(after, Batch(TABLE[ORDER]), OTHERS, 1)) == bits(other)
    assert bits(other) != bits(seen)


def test_members_of_a_population_see_what_each_would_alone(one):
    recipe, nets, states, look, seen = one
    feed = Batch(TABLE[ORDER])
    see = make_look(Observer(recipe, nets), streamed)
    both = jax.jit(jax.vmap(see, (0, None, None, None)))(
        stacked(states), feed, OTHERS, STEPS
    )
    for i, alone in enumerate((look(states[0], feed, OTHERS, STEPS), seen)):
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
    recipe, nets, (_, after), _, seen = one
    close(on_four("jit", recipe, nets, after), seen, rtol=2e-3, atol=1e-4)


def test_under_pmap_each_device_looks_at_its_share(one):
    """Of their own noise and shares of a batch: the same names, and what is no estimate is the same."""
    recipe, nets, (_, after), _, seen = one
    four = on_four("pmap", recipe, nets, after)
    assert {n: x.shape for n, x in four.items()} == {
        n: x.shape for n, x in seen.items()
    }
    for name, value in four.items():
        assert np.isfinite(value).all()
        if name.startswith(("spectral/", "weight/")):
            np.testing.assert_allclose(value, seen[name], rtol=1e-5)


def trained(folder, *words, last=1, code=0):
    small = ["batch_size=8", "model.width=8", "steps=12", "log_every=4", "scan_steps=3"]
    small += [
        "checkpoint_every=6",
        "sample_every=0",
        f"schedule=optim.gen.lr=step:8:8:1:{last}",
    ]
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
    rows = trained(tmp_path, last=1e38, code=3)
    assert [row["step"] for row in rows] == [4, 8]
    assert all(value is not None for row in rows for value in row.values())


def test_pictures_of_the_test_split_are_held_out(tmp_path):
    words = [
        "batch_size=4",
        "model.width=4",
        "steps=2",
        "log_every=2",
        "sample_every=0",
    ]
    words += ["checkpoint_every=0", "data.source=fashion_mnist"]
    words = [f"--config.{word}" for word in words]
    path = f"--config={ROOT}/configs/mlp_mnist.py"
    assert main([path, *words, f"--workdir={tmp_path}"]) == 0
    (row,) = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert 0 < row["disc/held_out"] < 1 and "spectral/gen/Dense_0" in row
