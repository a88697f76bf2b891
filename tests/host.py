"""One process of several, for tests/test_hosts.py: what it does is named by its first argument.

python -m tests.host TASK OUT [LIMIT]: writes what it has to show to the file OUT.
"""

import os
import sys
import time
from pathlib import Path

import numpy as np

from gan_jax import hosts

RING = {  # tests.recipes imports what takes seconds
    "model.name": "mlp",
    "model.width": 16,
    "model.depth": 2,
    "model.latent_dim": 4,
    "model.init": "xavier_uniform",
    "batch_size": 16,
}
CHUNKS, STEPS, ROOM = 3, 4, 5


def bits(tree):
    """Every leaf as bytes."""
    return [hosts._untyped(x).tobytes() for x in hosts.jax.tree.leaves(tree)]


def train(out):
    """A few chunks of a ring MLP, from the leader's state, by the leader's chunk lengths."""
    import jax

    from gan_jax import config, models
    from gan_jax.data.order import indices
    from gan_jax.parallel import jit_runner, near
    from gan_jax.step import init
    from gan_jax.types import Batch

    c = config.base()
    for name, value in RING.items():
        config.override(c, name, value)
    recipe, hyper = config.recipe_of(config.validate(c), (2,)), config.hyper_of(c)
    nets = models.build(recipe.model)
    table = Batch(np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32))
    seed = 5 if hosts.leads() else 6  # only the leader's counts
    state = hosts.share(jax.jit(init, static_argnums=(0, 1))(recipe, nets, hyper, seed))
    runner = jit_runner(recipe, nets, table, False)
    on = runner.place(state)
    for chunk in range(CHUNKS):
        n = int(hosts.agree([STEPS + hosts.rank()])[0, 0])
        rows = indices(0, chunk * STEPS, n, c.n_disc, c.batch_size, 64)
        on, metrics = runner.chunk(on, runner.feed(rows, ROOM), np.int32(n))
    assert bits(near(on)) == bits(on)
    leaves = jax.tree.leaves((on.players, on.ema, metrics))
    np.savez(out, key=bits(on.key)[0], **{str(i): x for i, x in enumerate(leaves)})
    whole, places = jit_runner(recipe, nets, table, True).feed(rows, ROOM)
    assert np.array_equal(whole.image, table.image)
    for shard in places.addressable_shards:
        assert np.array_equal(shard.data[:n], rows[:, :, shard.index[2]])


def work(out):
    """Collectives and agreements without an end; says so when the first are done."""

    def words():
        out.with_suffix(".words").write_text("finished")

    with hosts.watched(words):
        for turn in range(10**6):
            hosts.agree([turn])
            hosts.share(np.full(3, turn))
            if turn == 3:
                out.write_text(str(os.getpid()))
            time.sleep(0.01)


def facts(out):
    """What agree, share, same and watched do."""
    import jax

    me, values = hosts.rank(), [hosts.rank() + 1, -(2**40)]
    assert (hosts.count(), hosts.leads()) == (2, me == 0)
    for _ in range(200):
        rows = hosts.agree(values)
    assert rows.tolist() == [[1, -(2**40)], [2, -(2**40)]]
    tree = {
        "odd": np.array([0.0, -0.0, np.nan, np.inf, 1e-45], np.float32),
        "half": jax.numpy.arange(3, dtype="bfloat16"),
        "empty": np.zeros((0, 3), np.int8),
        "flag": np.array(True),
        "key": jax.random.key(7),
    }
    kinds = jax.eval_shape(lambda: tree)
    assert bits(hosts.share(tree if me == 0 else kinds)) == bits(tree)
    hosts._PIECE = 1000
    many = np.arange(2001, dtype=np.int16)
    assert np.array_equal(hosts.share(many if me == 0 else 0 * many), many)
    hosts.same("a", "the config")
    try:
        hosts.same("ab"[me], "the config")
    except hosts.UserError as error:
        out.write_text(str(error))
    try:
        with hosts.watched():
            raise jax.errors.JaxRuntimeError("nobody was lost")
    except jax.errors.JaxRuntimeError:
        pass
    try:
        hosts.alone("a sweep")
    except hosts.UserError:
        sys.exit(hosts.leave(75))


def mistake(out):
    """The second process ends with an error of its own."""
    if hosts.rank() == 1:
        sys.exit(hosts.leave(2))
    hosts.agree([0])


def crash(out):
    """The second process ends by an exception."""
    if hosts.rank() == 1:
        raise KeyError("a bug")
    hosts.agree([0])


if __name__ == "__main__":
    task, out, limit = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
    try:
        hosts.join("--distributed" in sys.argv, seconds=limit, limit=limit)
    except hosts.UserError as error:
        sys.exit(f"error: {error}")
    globals()[task](out)
    sys.exit(hosts.leave(0))
