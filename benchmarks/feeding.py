"""Pictures for DCGAN-64: decoded for each batch as a plain loader does, from the host's memory, on the device already."""

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from benchmarks import cases
from benchmarks.timing import CORES, Plan, Row, Way, interleaved, rows_of, short
from benchmarks.ways import LOOP, ours, program
from gan_jax import data
from gan_jax.chunk import resident, streamed
from gan_jax.data.pictures import decode
from gan_jax.parallel import numbers, pictures
from gan_jax.step import scaled
from gan_jax.types import Batch

PHOTO, SIDE = 178, 64  # px of a JPEG, about CelebA's, and of what it is trained as


def feeding(plan: Plan) -> Iterator[Callable[[], list[Row]]]:
    """Pictures for DCGAN-64, time a batch: decoded for each batch, from the host's memory, on the device already."""
    yield partial(rows, plan)


def reader(take: Callable[[Any, Any], Batch]) -> Callable[[Any], Any]:
    """A program that takes LOOP batches of a feed, scales them, and does nothing else with them."""

    def mean(feed: Any, i: Any) -> Any:
        return scaled(take(feed, i).image).mean()

    return jax.jit(lambda feed: jax.lax.map(partial(mean, feed), jnp.arange(LOOP)))


def jpegs(images: np.ndarray) -> list[bytes]:
    """uint8 [N, H, W, 3] as the bytes of JPEG files of PHOTO px."""
    files = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image).resize((PHOTO, PHOTO)).save(file, "JPEG", quality=90)
        files.append(file.getvalue())
    return files


def loaders(images: np.ndarray, files: list[bytes], batch: int) -> dict[str, Callable]:
    """{way: function that gives LOOP batches to the device}. files: `images` as JPEGs, or the first of them."""
    of_device, of_host = reader(resident), reader(streamed)
    table, starts, pool = Batch(images), count(0, LOOP), ThreadPoolExecutor(CORES)
    whole = jax.device_put(table)

    def which(size: int) -> np.ndarray:
        return data.indices(0, next(starts), LOOP, 1, batch, size)

    def decoded(apply: Callable[..., Any]) -> Any:
        rows = which(len(files))
        raws = [files[i] for i in rows.ravel()]
        images = np.stack([*apply(lambda raw: decode(raw, 0, SIDE, False), raws)])
        return sent(Batch(images.reshape(*rows.shape, *images.shape[1:])))

    def sent(batch: Batch) -> Any:
        return of_host(jax.device_put(batch))

    def of_host_memory() -> Any:
        return sent(pictures(table, which(len(images)), LOOP))

    def of_device_memory() -> Any:
        return of_device((whole, numbers(which(len(images)), LOOP)))

    return {
        "JPEG decoded for each batch": lambda: decoded(map),
        f"JPEG decoded, threads: {CORES}": lambda: decoded(pool.map),
        "gan_jax, host-fed": of_host_memory,
        "gan_jax, resident": of_device_memory,
    }


def rows(plan: Plan) -> list[Row]:
    """The loaders, and a training step with nothing to load beside them."""
    setting = cases.setting("dcgan64", plan.size(64), plan.width)
    state, examples = cases.first(setting), cases.examples(setting, LOOP)
    images = data.load(data.DataSpec("emoji", resolution=SIDE)).images
    files, batch = jpegs(images[: plan.size(len(images), 64)]), plan.size(64)
    calls, alone = loaders(images, files, batch), "the training step alone"
    ways = {name: Way(call, LOOP) for name, call in calls.items()}
    ways[alone] = ours(program(setting, True), state, examples, LOOP)
    values = interleaved(ways, plan)
    share = {
        way: 100 * np.median(x / np.median(values[alone])) for way, x in values.items()
    }
    return [
        replace(row, note=f"{short(share[row.way])} % of a step")
        for row in rows_of("data", "dcgan64", values, batch=batch)
    ]
