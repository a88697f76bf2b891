"""Networks by name, and the only seam between Flax and the rest: `network(module, spec)`."""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array

from gan_jax.models import basic, began, r3gan, resnet, superres, translate, variants
from gan_jax.models.first import FIRST, watched
from gan_jax.models.norms import REFERENCE
from gan_jax.types import Hyper, ModelSpec, Network, Pair, Params, Vars, lookup


def network(
    module: Callable[[ModelSpec, Hyper], nn.Module], spec: ModelSpec
) -> Network:
    """Turn a Linen module class into two pure functions.

    The module is built inside each call, so the numbers in hyper["model"] (init_std, norm_momentum, dropout)
    may be traced: one compiled program serves all of them, and `vmap` gives each member its own.

    init(key, hyper, *inputs) -> (params, vars); vars is {} or holds "batch_stats", "spectral"
    apply(params, vars, hyper, *inputs, key=None, train) -> (out, vars); train=True uses the moments of the
    batch and returns the statistics updated, train=False uses the running ones and draws no dropout, so no key.
    Where vars holds "first" (first.py), what the first layer says is added there.
    The inputs are z, a source picture or x, then the label [B] where the spec has classes.
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
        def run(
            params: Params, vars: Vars, hyper: Hyper, key: Any, *inputs: Any
        ) -> Any:
            call = partial(
                module(spec, hyper).apply,
                {"params": params, **vars},
                *inputs,
                train=train,
                rngs={} if key is None else {"dropout": key},
                mutable=list(vars) if train else [],
            )
            return watched(call, vars[FIRST]) if FIRST in vars else call()

        keep = lookup("model.remat", REMAT, spec.remat)
        out, updated = keep(run)(params, vars, hyper, key, *inputs)
        return out, {**vars, **updated}

    return Network(init, apply)


def with_reference(net: Network) -> Network:
    """Show a network a reference batch before its inputs, for virtual batch normalisation.

    The first batch that it sees in training, cut or repeated to 32 rows, is the reference for good. It lives
    in vars["reference"] as {"rows", "seen"}.
    """

    def first_rows(x: Array) -> Array:
        return x[jnp.arange(REFERENCE) % x.shape[0]]

    def init(key: Array, hyper: Hyper, x: Array) -> tuple[Params, Vars]:
        rows = jnp.zeros((REFERENCE, *x.shape[1:]))
        params, vars = net.init(key, hyper, jnp.concatenate([rows, x]))
        return params, {**vars, "reference": {"rows": rows, "seen": jnp.zeros(())}}

    def apply(
        params: Params, vars: Vars, hyper: Hyper, x: Array, **rest: Any
    ) -> tuple[Any, Vars]:
        kept = vars["reference"]
        others = {name: tree for name, tree in vars.items() if name != "reference"}
        rows = kept["rows"]
        if rest["train"]:
            rows = jnp.where(kept["seen"] > 0, rows, first_rows(x))
            kept = {"rows": rows, "seen": jnp.ones(())}
        joined = jnp.concatenate([rows, x])
        out, others = net.apply(params, others, hyper, joined, **rest)
        return jax.tree.map(lambda y: y[REFERENCE:], out), {**others, "reference": kept}

    return Network(init, apply)


def build(spec: ModelSpec) -> Pair:
    """Return the Pair of Networks that `spec.name` names. Raises UserError for an unknown name."""
    model = lookup("model", MODELS, spec.name)
    nets = Pair(*(network(module, spec) for module in (model.gen, model.disc)))
    norms = Pair(spec.norm, spec.disc_norm or spec.norm)
    return Pair(
        *(
            with_reference(net) if norm == "virtual" else net
            for net, norm in zip(nets, norms, strict=True)
        )
    )


# a convolution of conv.py is a custom_vjp_call
PRODUCTS = ("custom_vjp_call", "conv_general_dilated", "dot_general")


def _is_product(primitive: Any, *_: Any, **__: Any) -> bool:
    return primitive.name in PRODUCTS


# name -> what a pass keeps for its gradient (Chen et al. 2016, arXiv:1604.06174)
REMAT: dict[str, Callable[[Any], Any]] = {
    # all that the gradient needs
    "none": lambda run: run,
    # results of convolutions and matrix products; norms and activations are computed again
    "products": partial(jax.checkpoint, policy=_is_product),
    # nothing but the inputs: the whole pass is run again
    "all": jax.checkpoint,
}
# name -> (generator, discriminator): classes, or anything that makes a Linen module of (spec, hyper)
MODELS = {
    "mlp": Pair(basic.MLPGenerator, basic.MLPDiscriminator),
    "dcgan": Pair(basic.DCGANGenerator, basic.DCGANDiscriminator),
    "cmu": Pair(variants.CMUGenerator, variants.CMUDiscriminator),
    "upsample": Pair(variants.UpsampleGenerator, variants.UpsampleDiscriminator),
    "began": Pair(began.BEGANGenerator, began.BEGANDiscriminator),
    "resnet": Pair(resnet.ResNetGenerator, resnet.ResNetDiscriminator),
    "r3gan": Pair(r3gan.R3GANGenerator, r3gan.R3GANDiscriminator),
    "pix2pix": Pair(translate.UNetGenerator, translate.PatchDiscriminator),
    "cyclegan": Pair(translate.ResNetTranslator, translate.PatchDiscriminator),
    "srgan": Pair(superres.SRResNet, superres.VGGDiscriminator),
}
# discriminators that give an energy (an autoencoder's error [B], low means real) in place of a logit
ENERGY_MODELS = ("began",)
# networks whose generator is fed pictures
TRANSLATORS = ("pix2pix", "cyclegan", "srgan")
# discriminators that give a logit for each patch of a picture: logits [B * patches]
PATCHED = ("pix2pix", "cyclegan")
# networks that `model.attention` can give a self-attention block
ATTENTIVE = ("resnet", "r3gan")
