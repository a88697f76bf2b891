"""What a checkpoint costs: seconds that training is blocked, and what it takes beside it.

python -m benchmarks.checkpoint [--parameters=20000000] [--saves=5]

The state is that of a GAN with so many parameters in G and D together: parameters, both moments of Adam and the
average of G. Blocked is what `Checkpoints.start` takes: the copy to the host; a thread hands the copy to Orbax, puts
all files on the disk and hashes them. On a CPU that thread takes time from training: the last line says how much, from
matrix products alone and beside a save.
"""

import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from gan_jax.checkpoint import Checkpoints

PARAMETERS = flags.DEFINE_integer("parameters", 20_000_000, "of G and D together")
SAVES = flags.DEFINE_integer("saves", 5, "timed saves")
MINUTE = 60.0


def state_of(parameters: int) -> dict:
    """Twelve arrays a player: {"params", "mu", "nu"} of both and G's average."""
    side = int((parameters / 24) ** 0.5)
    keys = iter(jax.random.split(jax.random.key(0), 200))

    def arrays() -> dict:
        return {
            f"layer_{i}": jax.random.normal(next(keys), (side, side)) for i in range(12)
        }

    state = {p: {k: arrays() for k in ("params", "mu", "nu")} for p in ("gen", "disc")}
    return {**state, "ema": arrays(), "step": jnp.int32(0), "key": jax.random.key(1)}


@jax.jit
def product(x: jax.Array) -> jax.Array:
    """A stand-in for training."""
    return x @ x / len(x)


def busy(seconds: float) -> tuple[int, float]:
    """Products of a 512 x 512 matrix for about so long: how many, in how many seconds."""
    x, count, begin = jnp.ones((512, 512)), 0, time.perf_counter()
    while (took := time.perf_counter() - begin) < seconds:
        product(x).block_until_ready()
        count += 1
    return count, took


def main(_: list[str]) -> None:
    """Time and print."""
    state = jax.block_until_ready(state_of(PARAMETERS.value))
    size = sum(x.nbytes for x in jax.tree.leaves(state) if hasattr(x, "nbytes"))
    busy(1.0)
    blocked, whole, slower = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        saved = Checkpoints(folder)
        for step in range(SAVES.value + 1):  # the first one imports and warms up
            count, took = busy(2.0)
            alone = count / took
            begin = time.perf_counter()
            saved.start(step, state)
            blocked.append(time.perf_counter() - begin)
            done = 0
            while saved._thread.is_alive():
                done += busy(0.05)[0]
            saved.wait()
            whole.append(time.perf_counter() - begin)
            slower.append(whole[-1] - blocked[-1] - done / alone)
    print(f"{size / 2**20:.0f} MiB, {jax.devices()[0].device_kind}")
    for name, values in (
        ("blocked", blocked),
        ("until it is on the disk", whole),
        ("training time lost beside it", slower),
    ):
        values = np.array(values[1:])
        median = float(np.median(values))
        print(
            f"{name}: {median:.3f} s ({values.min():.3f} to {values.max():.3f}), "
            f"{100 * median / MINUTE:.2f} % of a minute"
        )


if __name__ == "__main__":
    app.run(main)
