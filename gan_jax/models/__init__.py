"""Networks by name, and the only seam between Flax and the rest: `network(module, spec)`."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
from jaxtyping import Array

from gan_jax.models import basic
from gan_jax.types import Hyper, ModelSpec, Network, Pair, Params, Vars, lookup


def network(
    module: Callable[[ModelSpec, Hyper], nn.Module], spec: ModelSpec
) -> Network:
    """Turn a Linen module class into two pure functions.

    The module is built inside each call, so the numbers in hyper["model"] (init_std, norm_momentum, dropout)
    may be traced: one compiled program serves all of them, and `vmap` gives each member its own.

    init(key, hyper, *inputs) -> (params, vars); vars is {} or {"batch_stats": ...}
    apply(params, vars, hyper, *inputs, key=None, train) -> (out, vars); train=True uses the moments of the
    batch and returns the statistics updated, train=False uses the running ones and draws no dropout, so no key.
    """

    def init(key: Array, hyper: Hyper, *inputs: Any) -> tuple[Params, Vars]:
        rngs = {"params": key, "dropout": key}
        variables = dict(module(spec, hyper).init(rngs, *inputs, train=True))
        return variables.pop("params"), variables

    def apply(
        params: Params,
        vars: Vars,
        hyper: Hyper,
        *inputs: Any,
        key: Array | None = None,
        train: bool,
    ) -> tuple[Any, Vars]:
        out, updated = module(spec, hyper).apply(
            {"params": params, **vars},
            *inputs,
            train=train,
            rngs={} if key is None else {"dropout": key},
            mutable=list(vars) if train else [],
        )
        return out, {**vars, **updated}

    return Network(init, apply)


def build(spec: ModelSpec) -> Pair:
    """Return the Pair of Networks that `spec.name` names. Raises UserError for an unknown name."""
    model = lookup("model", MODELS, spec.name)
    return Pair(*(network(module, spec) for module in model))


# name -> (generator, discriminator): classes, or anything that makes a Linen module of (spec, hyper)
MODELS = {
    "mlp": Pair(basic.MLPGenerator, basic.MLPDiscriminator),
    "dcgan": Pair(basic.DCGANGenerator, basic.DCGANDiscriminator),
}
