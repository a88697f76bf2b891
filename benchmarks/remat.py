"""What one pass of a network keeps for its gradient, by model.remat: MiB at a batch of 64, counted and not run.

python -m benchmarks.remat --batch=64
"""

import argparse
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks import cases
from gan_jax.capacity import nbytes
from gan_jax.models import REMAT
from gan_jax.types import Hyper, Network

NAMES = "dcgan64", "sngan32", "r3gan32"


def kept(net: Network, hyper: Hyper, x: Any) -> int:
    """Bytes that a pass over x, an array or its shape, keeps beside the parameters and statistics."""
    key = jax.random.key(0)
    fixed = jax.eval_shape(partial(net.init, key, hyper), x)

    def pull_back(params: Any, vars: Any, x: Any) -> Any:
        def run(params: Any, x: Any) -> Any:
            return net.apply(params, vars, hyper, x, key=key, train=True)

        return jax.vjp(run, params, x)[1]

    return nbytes(jax.eval_shape(pull_back, *fixed, x)) - nbytes(fixed)


def cell(name: str, player: str, batch: int, remat: str) -> str:
    """A case's MiB."""
    setting = cases.setting(name, batch, **{"model.remat": remat})
    spec = setting.recipe.model
    inner = {"gen": (spec.latent_dim,), "disc": spec.image_shape}[player]
    x = jax.ShapeDtypeStruct((batch, *inner), jnp.float32)
    return f"{kept(getattr(setting.nets, player), setting.hyper, x) / 2**20:.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=64)
    args = parser.parse_args()
    print(
        f"| MiB, batch {args.batch} | {' | '.join(REMAT)} |\n|---|{'---|' * len(REMAT)}"
    )
    for name in NAMES:
        for player in ("gen", "disc"):
            cells = [cell(name, player, args.batch, remat) for remat in REMAT]
            print(f"| {name}, {player} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
