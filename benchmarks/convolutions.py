"""Time each DCGAN layer written the plain and the fast way; print a markdown table.

    python benchmarks/convolutions.py [--resolution=28,64] [--batch=64] [--repeats=9] [--ways=plain,fast]

Medians in ms of calls that alternate between the ways in one run, so a busy machine hurts all alike.
forward: the operation. backward: both its gradients. in a loop: backward inside `lax.fori_loop`, one turn.
The ratio after each is time of the first way over time of this way (more is faster).
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gan_jax.models.basic import halvings
from gan_jax.models.conv import CONV

TURNS = 2
SECONDS = 4.0  # a way that has taken this long in one measurement is not timed again


def layers(resolution: int, width: int = 64) -> list[tuple[str, str, int, int, int]]:
    """Every convolution of a DCGAN: (name, operation, side of the larger image, its channels, the others)."""
    colours = 1 if resolution < 32 else 3
    count = halvings((resolution, resolution, colours))[1]
    channels = [colours, *(width * 2**i for i in range(count))]
    found = []
    for i in range(count):
        side, few, many = resolution >> i, channels[i], channels[i + 1]
        found.append((f"D {side}x{side}x{few} to {many}", "down", side, few, many))
        found.append(
            (f"G {side // 2}x{side // 2}x{many} to {few}", "up", side, few, many)
        )
    return sorted(found)


def apply(operation: Callable) -> Callable:
    """Fix the stride."""
    return lambda image, w: operation(image, w, 2)


def measurements(
    operation: Callable, out: jax.Array
) -> dict[str, tuple[Callable, int]]:
    """Name -> (function of (image, kernel), how many times it does the work)."""

    def backward(image, w):
        return jax.vjp(operation, image, w)[1](out)

    def loop(image, w):
        def turn(_, carry):
            image, w = carry
            d_image, d_w = backward(image, w)
            return image + 1e-9 * d_image, w + 1e-9 * d_w

        return lax.fori_loop(0, TURNS, turn, (image, w))

    return {
        "forward": (operation, 1),
        "backward": (backward, 1),
        "in a loop": (loop, TURNS),
    }


def interleaved(functions: dict[str, Callable], repeats: int) -> dict[str, float]:
    """Median seconds of each function, called in turn; every function has run once before."""
    times = {name: [] for name in functions}
    for function in functions.values():
        jax.block_until_ready(function())
    for _ in range(repeats):
        for name, function in functions.items():
            if sum(times[name]) > SECONDS:
                continue
            start = time.perf_counter()
            jax.block_until_ready(function())
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def measure(
    layer: tuple, batch: int, ways: list[str], repeats: int
) -> dict[str, dict[str, float]]:
    """Measurement -> way -> ms for one layer."""
    _, name, side, few, many = layer
    draws = np.random.default_rng(0)
    shapes = (
        (batch, side, side, few),
        (4, 4, few, many),
        (batch, side // 2, side // 2, many),
    )
    x, w, y = (jnp.asarray(draws.normal(size=shape), "float32") for shape in shapes)
    image, out = (x, y) if name == "down" else (y, x)
    operations = {way: apply(getattr(CONV[way], name)) for way in ways}
    table = {}
    for kind in ("forward", "backward", "in a loop"):
        functions, work = {}, 1
        for way, operation in operations.items():
            function, work = measurements(operation, out)[kind]
            functions[way] = partial(jax.jit(function), image, w)
        seconds = interleaved(functions, repeats)
        table[kind] = {way: 1e3 * value / work for way, value in seconds.items()}
    return table


def row(name: str, table: dict[str, dict[str, float]]) -> str:
    """One line: ms of every way, with the ratio to the first."""
    cells = [name]
    for by_way in table.values():
        first = next(iter(by_way.values()))
        cells += [f"{ms:.1f} ({first / ms:.2f}x)" for ms in by_way.values()]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resolution", default="28,64")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--ways", default="plain,fast", help=f"of {', '.join(CONV)}")
    args = parser.parse_args()
    ways = args.ways.split(",")
    print(
        f"jax {jax.__version__}, {jax.devices()[0].device_kind}, batch {args.batch}, float32, ms\n"
    )
    heads = [
        f"{kind} {way}" for kind in ("forward", "backward", "in a loop") for way in ways
    ]
    print("| layer | " + " | ".join(heads) + " |\n|" + "---|" * (len(heads) + 1))
    for resolution in map(int, args.resolution.split(",")):
        totals: dict[str, dict[str, float]] = {}
        for layer in layers(resolution):
            table = measure(layer, args.batch, ways, args.repeats)
            print(row(layer[0], table), flush=True)
            for kind, by_way in table.items():
                for way, ms in by_way.items():
                    total = totals.setdefault(kind, dict.fromkeys(ways, 0.0))
                    total[way] += ms
        print(row(f"all of DCGAN-{resolution}", totals), flush=True)


if __name__ == "__main__":
    main()
