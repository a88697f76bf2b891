"""A DCGAN training step beside the same step on Flax's own convolutions.

    python -m benchmarks.train_step --sides=28,64 --rounds=5

Ways to do the same steps from the same state, timed in turn in one process: `nn.Conv` and `nn.ConvTranspose`
one step a dispatch, gan_jax one step a dispatch, gan_jax in its loop; for pictures up to 32 px the stock layers in
that loop too (at 64 px such a step takes about a minute). Prints a Markdown table of milliseconds a step (median and range over rounds) and how many times faster than stock each is. The
first step's losses must agree to 1e-4, or it stops.
"""

import argparse
import time
from functools import partial

import flax.linen as nn
import jax
import numpy as np

from gan_jax import config, models
from gan_jax.chunk import make_chunk, streamed
from gan_jax.models import basic
from gan_jax.models.kit import Kit
from gan_jax.step import init, make_step
from gan_jax.types import Batch, Pair

LOOP = 8  # steps a dispatch of the loop


class StockKit(Kit):
    """gan_jax's layers with the convolutions as Flax has them."""

    def conv(self, features, bias):
        k = self.spec.kernel
        return nn.Conv(features, (k, k), (2, 2), use_bias=bias, kernel_init=self.init)

    def up(self, features, bias):
        k = self.spec.kernel
        return nn.ConvTranspose(
            features,
            (k, k),
            (2, 2),
            use_bias=bias,
            kernel_init=self.init,
            transpose_kernel=True,
        )


class StockGenerator(basic.DCGANGenerator):
    def kit(self, label, train):
        return StockKit(self.spec, self.hyper, "gen", label, train)


class StockDiscriminator(basic.DCGANDiscriminator):
    def kit(self, label, train):
        return StockKit(self.spec, self.hyper, "disc", label, train)


def setting(side, args):
    """(stock step, our step, first state, pictures of LOOP steps)."""
    c = config.base()
    c.batch_size, c.model.width, c.penalty.r1 = args.batch, args.width, args.r1
    channels = 1 if side == 28 else 3
    recipe = config.recipe_of(c, (side, side, channels))
    ours = models.build(recipe.model)
    stock = Pair(
        *(models.network(m, recipe.model) for m in (StockGenerator, StockDiscriminator))
    )
    state = jax.jit(partial(init, recipe, ours, config.hyper_of(c)))(0)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (LOOP, 1, args.batch, side, side, channels)).astype(
        np.uint8
    )
    return make_step(recipe, stock), make_step(recipe, ours), state, image


def seconds(run, repeats):
    """Wall seconds of one call, after one to warm up."""
    jax.block_until_ready(run())
    begin = time.perf_counter()
    for _ in range(repeats):
        jax.block_until_ready(run())
    return (time.perf_counter() - begin) / repeats


def measure(side, args):
    """A row for each way: name, milliseconds a step over the rounds."""
    stock_step, ours, state, image = setting(side, args)
    one = Batch(jax.device_put(image[0]))
    many = Batch(jax.device_put(image))
    stock, single = jax.jit(stock_step), jax.jit(ours)
    loop = jax.jit(make_chunk(ours, streamed))
    losses = [step(state, one)[1] for step in (stock, single)]
    for name in ("loss/disc", "loss/gen"):
        np.testing.assert_allclose(losses[0][name], losses[1][name], rtol=1e-4)
    ways = {
        "stock Flax, one step a dispatch": (lambda: stock(state, one), 1),
        "gan_jax, one step a dispatch": (lambda: single(state, one), 1),
        f"gan_jax, {LOOP} steps a dispatch": (lambda: loop(state, many, LOOP), LOOP),
    }
    if side <= 32:
        slow = jax.jit(make_chunk(stock_step, streamed))
        name = f"stock Flax, {LOOP} steps a dispatch"
        ways[name] = (lambda: slow(state, many, LOOP), LOOP)
    times = {name: [] for name in ways}
    for _ in range(args.rounds):
        for name, (run, steps) in ways.items():
            repeats = max(1, LOOP // steps // (4 if "stock" in name else 1))
            times[name].append(1e3 * seconds(run, repeats) / steps)
    return times


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sides", default="28,64")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--r1", type=float, default=0.0)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    print("| networks | way | ms a step, median (min - max) | times stock |")
    print("|---|---|---|---|")
    for side in map(int, args.sides.split(",")):
        times = measure(side, args)
        base = None
        for way, ms in times.items():
            base = base or np.median(ms)
            what = f"DCGAN-{side}, width {args.width}, batch {args.batch}"
            spread = f"{np.median(ms):.1f} ({min(ms):.1f} - {max(ms):.1f})"
            print(f"| {what} | {way} | {spread} | {base / np.median(ms):.1f} |")


if __name__ == "__main__":
    main()
