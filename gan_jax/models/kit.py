"""What every network is built from: the layers with all that its spec and numbers decide already filled in."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gan_jax.models.layers import (
    INITS,
    Conv,
    ConvTranspose,
    Dense,
    Dropout,
    MinibatchDiscrimination,
    minibatch_stddev,
)
from gan_jax.models.norms import NORMS, ClassAffine
from gan_jax.types import ModelSpec, Pair, Scores, lookup

Label = Int[Array, " B"] | None
EMBEDDING = 32  # size of a label's embedding where it is concatenated


class Condition(NamedTuple):
    """How one network is told the label: `concat` to its input, `norm` by class affine norms, `project` in the logit."""

    concat: bool = False
    norm: bool = False
    project: bool = False


class Kit:
    """Layers of one network. Not a module: it only constructs layers, within the `nn.compact` method that calls it."""

    def __init__(
        self,
        spec: ModelSpec,
        hyper: Mapping[str, Any],
        player: str,
        label: Label,
        train: bool,
    ):
        """Look the names of the spec up (a wrong one raises, listing the choices). `player`: "gen" or "disc"."""
        numbers = hyper["model"]
        norm = spec.norm if player == "gen" else spec.disc_norm or spec.norm
        self.dtype = lookup("precision", PRECISIONS, spec.precision)
        init = spec.init if player == "gen" else spec.disc_init or spec.init
        self.init = lookup("init", INITS, init)(numbers["init_std"])
        self.embedding_init = nn.initializers.normal(1.0)
        if spec.embedding_init:
            named = lookup("init", INITS, spec.embedding_init)
            self.embedding_init = named(numbers["init_std"])
        self.norm_layer = lookup("norm", NORMS, norm)
        self.bias = norm == "none"  # whether a layer before a norm needs a bias
        self.momentum = numbers["norm_momentum"]
        rate = {"gen": "gen_dropout", "disc": "dropout"}[player]
        self.rate = numbers[rate] if getattr(spec, rate) else None
        self.spectral = getattr(spec, f"{player}_spectral")
        condition = lookup("model.condition", CONDITIONS, spec.condition)
        self.condition = getattr(condition, player)
        self.spec, self.label, self.train = spec, label, train

    def _common(self, bias: bool) -> dict[str, Any]:
        return {
            "use_bias": bias,
            "kernel_init": self.init,
            "dtype": self.dtype,
            "spectral": self.spectral,
        }

    def conv(self, features: int, bias: bool, kernel: int = 0, stride: int = 2) -> Conv:
        """Return a convolution, "SAME"; kernel 0: the spec's."""
        size = kernel or self.spec.kernel
        rest = self._common(bias)
        return Conv(features, size, stride, impl=self.spec.impl, **rest)

    def up(self, features: int, bias: bool, kernel: int = 0) -> ConvTranspose:
        """Return a transposed convolution of stride 2; kernel 0: the spec's."""
        size = kernel or self.spec.kernel
        rest = self._common(bias)
        return ConvTranspose(features, size, impl=self.spec.impl, **rest)

    def dense(self, features: int, bias: bool) -> Dense:
        """Return a dense layer."""
        return Dense(features, **self._common(bias))

    def norm(self, x: Float[Array, "B ..."]) -> Float[Array, "B ..."]:
        """Normalise, with scale and shift by class if the network is conditioned so."""
        own = not self.condition.norm
        x = self.norm_layer(self.momentum, self.train, self.dtype, own)(x)
        return x if own else ClassAffine(self.spec.classes, self.dtype)(x, self.label)

    def dropout(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Drop, if the spec asks for it."""
        return x if self.rate is None else Dropout(self.rate)(x, self.train)

    def embed(self) -> Float[Array, "B E"]:
        """The label's embedding of 32 numbers, N(0, 1) at first if `spec.embedding_init` names nothing else."""
        table = Dense(EMBEDDING, False, self.embedding_init, self.dtype, told=True)
        return table(jax.nn.one_hot(self.label, self.spec.classes))

    def enter(self, x: Float[Array, "B ..."]) -> Float[Array, "B ..."]:
        """What the network is fed: x, with the label's embedding appended (as channels to a picture) if asked.

        Mirza and Osindero 2014 (arXiv:1411.1784); channels as in Reed et al. 2016 (arXiv:1605.05396).
        """
        if not self.condition.concat:
            return x
        told = self.embed().astype(x.dtype)
        told = told.reshape(x.shape[0], *(1,) * (x.ndim - 2), EMBEDDING)
        told = jnp.broadcast_to(told, (*x.shape[:-1], EMBEDDING))
        return jnp.concatenate([x, told], axis=-1)

    def scores(self, features: Float[Array, "B F"]) -> Scores:
        """What D answers from its last features: the logit, and `spec.aux` numbers beside it if there are any.

        In float32 whatever the precision: losses exponentiate logits. Projection adds <embedding of the label,
        features> to the logit (Miyato and Koyama 2018, arXiv:1802.05637, eq. 9).
        """
        seen = features = features.astype(jnp.float32)
        seen = lookup("model.minibatch", MINIBATCH, self.spec.minibatch)(
            seen, self.init
        )
        head = {"kernel_init": self.init, "spectral": self.spectral}
        logits = Dense(1, **head)(seen)[:, 0]
        if self.condition.project:
            told = jax.nn.one_hot(self.label, self.spec.classes)
            table = Dense(features.shape[1], False, name="projection", **head)
            logits = logits + jnp.sum(table(told) * features, axis=1)
        aux = (
            Dense(self.spec.aux, name="aux", **head)(features)
            if self.spec.aux
            else None
        )
        return Scores(logits, features, aux)


class GeneratorBase(nn.Module):
    """What every generator is built from."""

    spec: ModelSpec
    hyper: Mapping[str, Any]  # Flax freezes the dict

    def kit(self, label: Label, train: bool) -> Kit:
        """The generator's layers."""
        return Kit(self.spec, self.hyper, "gen", label, train)


class DiscriminatorBase(nn.Module):
    """What every discriminator is built from."""

    spec: ModelSpec
    hyper: Mapping[str, Any]

    def kit(self, label: Label, train: bool) -> Kit:
        """The discriminator's layers."""
        return Kit(self.spec, self.hyper, "disc", label, train)


def leaky(x: Array) -> Array:
    """LeakyReLU of slope 0.2, the field's default."""
    return nn.leaky_relu(x, 0.2)


def float32(x: Array) -> Array:
    """To full precision, for what leaves a network."""
    return x.astype(jnp.float32)


PRECISIONS = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}

# name -> how each player is told the label
CONDITIONS = {
    "none": Pair(Condition(), Condition()),
    # cGAN: the embedding beside z, and as channels of D's picture (Mirza and Osindero 2014)
    "concat": Pair(Condition(concat=True), Condition(concat=True)),
    # class-conditional norms in G, projection in D (Miyato and Koyama 2018)
    "projection": Pair(Condition(norm=True), Condition(project=True)),
    # the embedding beside z in G, projection in D (R3GAN)
    "concat_projection": Pair(Condition(concat=True), Condition(project=True)),
    # G alone is told, for a D that has to name the class itself (ACGAN)
    "concat_gen": Pair(Condition(concat=True), Condition()),
    "norm_gen": Pair(Condition(norm=True), Condition()),
}

# name -> (features [B, F], initialiser) -> features [B, G] that also tell about the rest of the batch
MINIBATCH: dict[str, Callable[[Any, Any], Any]] = {
    "none": lambda features, init: features,
    "discrimination": lambda features, init: MinibatchDiscrimination(init)(features),
    "stddev": lambda features, init: minibatch_stddev(features),
}
