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

NAMES = "dcgan64", "sngan32", "r3gan32"


def kept(setting: cases.Setting, player: str) -> float:
    """MiB beside the parameters and statistics."""
    net, spec = getattr(setting.nets, player), setting.recipe.model
    inner = {"gen": (spec.latent_dim,), "disc": spec.image_shape}[player]
    x = jax.ShapeDtypeStruct((setting.recipe.batch_size, *inner), jnp.float32)
    key = jax.random.key(0)
    fixed = jax.eval_shape(partial(net.init, key, setting.hyper), x)

    def pull_back(params: Any, vars: Any, x: Any) -> Any:
        def run(params: Any, x: Any) -> Any:
            return net.apply(params, vars, setting.hyper, x, key=key, train=True)

        return jax.vjp(run, params, x)[1]

    return (nbytes(jax.eval_shape(pull_back, *fixed, x)) - nbytes(fixed)) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=64)
    args = parser.parse_args()
    print(
        f"| MiB, batch {args.batch} | {' | '.join(REMAT)} |\n|---|{'---|' * len(REMAT)}"
    )
    for name in NAMES:
        for player in ("gen", "disc"):
            cells = []
            for remat in REMAT:
                changes = {"model.remat": remat}
                setting = cases.setting(name, args.batch, **changes)
                cells.append(f"{kept(setting, player):.0f}")
            print(f"| {name}, {player} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
