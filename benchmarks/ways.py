"""The ways to train: our step, the same step on Flax's own convolutions, and PyTorch's, each as a `Way` of `timing`."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import CORES, TORCH, Way, say
from gan_jax import models
from gan_jax.chunk import make_chunk, streamed
from gan_jax.models import basic
from gan_jax.models.kit import Kit
from gan_jax.sampling import BATCH
from gan_jax.step import make_step
from gan_jax.types import Batch, ModelSpec, Pair, TrainState

LOOP = 8  # steps a dispatch of the loop
PRECISIONS = {  # of the suite -> of the config, of JAX's products on a GPU
    "float32": ("float32", "highest"),
    "tf32": ("float32", "tensorfloat32"),
    "bfloat16": ("bfloat16", None),
}
TORCH_WAYS = {  # precision -> ways of the twins
    "float32": ("eager", "best", "compile"),
    "tf32": ("eager", "best", "compile"),
    "bfloat16": ("autocast", "compile_autocast"),
}
LOSSES = "loss/disc", "loss/gen"


class StockKit(Kit):
    """gan_jax's layers with `nn.Conv` and `nn.ConvTranspose`."""

    def common(self, bias):
        own = {"dtype": self.dtype, "kernel_init": self.init}
        return {"strides": (2, 2), "use_bias": bias, **own}

    def conv(self, features, bias):
        k = self.spec.kernel
        return nn.Conv(features, (k, k), **self.common(bias))

    def up(self, features, bias):
        k, rest = self.spec.kernel, self.common(bias)
        return nn.ConvTranspose(features, (k, k), transpose_kernel=True, **rest)


class StockGenerator(basic.DCGANGenerator):
    def kit(self, label, train):
        return StockKit(self.spec, self.hyper, "gen", label, train)


class StockDiscriminator(basic.DCGANDiscriminator):
    def kit(self, label, train):
        return StockKit(self.spec, self.hyper, "disc", label, train)


def stock(spec: ModelSpec) -> Pair:
    """A DCGAN's networks on Flax's convolutions; a state of ours fits them."""
    modules = StockGenerator, StockDiscriminator
    return Pair(*(models.network(module, spec) for module in modules))


def program(setting: Any, looped: bool = False, nets: Any = None) -> Any:
    """Our step, jitted, by itself or in the loop; it takes its state."""
    step = make_step(setting.recipe, nets or setting.nets)
    return jax.jit(make_chunk(step, streamed) if looped else step, donate_argnums=0)


def ours(run: Any, state: TrainState, examples: Batch, steps: int) -> Way:
    """A `program`, `steps` a dispatch: 1 by itself, more in the loop. A call gives the last step's metrics."""
    state = jax.tree.map(jnp.copy, state)  # the first call takes it
    if steps == 1:
        fed = (jax.device_put(jax.tree.map(lambda x: x[0], examples)),)
    else:
        fed = jax.device_put(examples), np.int32(steps)

    def call() -> Any:
        nonlocal state
        state, metrics = run(state, *fed)
        return metrics

    return Way(call, steps)


def same(a: Any, b: Any, names: Sequence[str]) -> None:
    """Stop unless what two ways give under these names agrees to 1e-4."""
    for name in names:
        if not np.isclose(float(a[name]), float(b[name]), rtol=1e-4, atol=1e-6):
            raise SystemExit(f"{name} is {a[name]} and {b[name]}")


def theirs(
    setting: Any, state: TrainState, way: str, first: dict[str, Any], tf32: bool
) -> Way:
    """A twin in PyTorch, checked against our first losses (`twins.first_losses`). Its examples lie on its device, its latents are fresh."""
    import torch

    from benchmarks import twins

    torch.set_num_threads(CORES)
    twin = twins.checked(setting, state, way, first, tf32)
    real, latents = twin.draw()

    def call() -> Any:
        for z in (latents.disc, latents.gen):
            if z is not None:
                z.normal_()
        if latents.alpha is not None:
            latents.alpha.uniform_()
        return twin.step(real, latents)

    return Way(call, 1, lambda _: twin.sync())


def generator(setting: Any, state: TrainState, z: np.ndarray) -> Callable[[], Any]:
    """A function that samples in PyTorch by running statistics: latents [n, z] -> float32 [n, H, W, C] on the host."""
    import torch

    from benchmarks import twins

    torch.set_num_threads(CORES)
    twin = twins.twin(setting, state, "best")
    gen, latents = twin.gen.eval(), torch.tensor(z, device=twin.device)

    @torch.inference_mode()
    def call() -> np.ndarray:
        parts = [gen(part).cpu() for part in latents.split(BATCH)]
        return torch.cat(parts).movedim(1, -1).numpy()

    return call


def all_theirs(
    setting: Any, state: TrainState, step: Any, precision: str, quick: bool = False
) -> dict[str, Way]:
    """Every way of PyTorch that runs: the others are left out with a line on stderr; none without PyTorch.

    step: our `program`, for the first losses. quick: without the compiled ones.
    """
    if not TORCH:
        return {}
    import torch

    from benchmarks import twins

    torch.compiler.reset()  # after so many programs of other cases it compiles no more
    names, ways = TORCH_WAYS[precision], {}
    first = twins.first_losses(setting, state, step)
    for name in names:
        if quick and "compile" in name:
            continue
        title = f"PyTorch, {name.replace('_', ' ')}"
        try:
            way = theirs(setting, state, name, first, precision == "tf32")
            way.wait(way.call())  # compiles, or refuses to
            ways[title] = way
        except Exception as error:  # what torch.compile may raise is not one type
            why = (str(error).splitlines() or [""])[0][:200]
            say(f"left out: {title}: {type(error).__name__}: {why}")
    return ways
