"""Fields of the networks and of the data."""

from typing import Any

from gan_jax.data import SOURCES
from gan_jax.fields.rules import (
    Field,
    anything,
    between,
    choice,
    decay,
    fraction,
    from_zero,
    one_of,
    whole,
)
from gan_jax.latents import LATENTS
from gan_jax.models import MODELS, REMAT
from gan_jax.models.conv import CONV
from gan_jax.models.kit import CONDITIONS, MINIBATCH
from gan_jax.models.layers import INITS
from gan_jax.models.norms import NORMS


def source(name: str, value: Any) -> None:
    """Rule: a source by its name, a prefix with its argument, or your own function."""
    if value.partition(":")[0] not in SOURCES:
        _function(name, value)


_function = one_of({name: row.load for name, row in SOURCES.items()})
source.choices = tuple(SOURCES)

MODEL = {
    "model.name": Field("dcgan", "structure", one_of(MODELS), "networks"),
    "model.latent_dim": Field(100, "structure", whole, "size of z, codes not counted"),
    "model.latent_dist": Field(
        "normal", "structure", one_of(LATENTS), "distribution of z"
    ),
    "model.codes": Field(
        0, "structure", from_zero, "infogan: categorical codes behind z"
    ),
    "model.code_classes": Field(
        10, "structure", whole, "infogan: classes of each categorical code"
    ),
    "model.codes_continuous": Field(
        0, "structure", from_zero, "infogan: codes uniform on -1..1 behind those"
    ),
    "model.condition": Field(
        "none", "structure", one_of(CONDITIONS), "how the networks are told the label"
    ),
    "model.width": Field(
        64,
        "structure",
        whole,
        "channels at the largest picture (resnet to 32 px: of every block), units of an MLP",
    ),
    "model.disc_width": Field(0, "structure", from_zero, "the same for D; 0: as width"),
    "model.constant_width": Field(
        False,
        "structure",
        anything,
        "D (in r3gan G too) as wide at every depth, not doubling",
    ),
    "model.depth": Field(
        1,
        "structure",
        between(1.0, 100.0),
        "hidden layers of an MLP; residual blocks of cyclegan's and srgan's G",
    ),
    "model.kernel": Field(
        4, "structure", between(2.0, 32.0), "side of the convolutions"
    ),
    "model.attention": Field(
        0,
        "structure",
        from_zero,
        "side of the picture that self-attention sees; 0: none",
    ),
    "model.init": Field("normal", "structure", one_of(INITS), "initial weights"),
    "model.disc_init": Field(
        "", "structure", one_of(INITS, ""), "the same for D; empty: as init"
    ),
    "model.embedding_init": Field(
        "",
        "structure",
        one_of(INITS, ""),
        "the same for labels' embeddings; empty: N(0, 1)",
    ),
    "model.init_std": Field(
        0.02, "number", from_zero, "of init=normal, truncated_normal and uniform"
    ),
    "model.norm": Field("batch", "structure", one_of(NORMS), "normalisation"),
    "model.disc_norm": Field(
        "", "structure", one_of(NORMS, ""), "the same for D; empty: as norm"
    ),
    "model.norm_momentum": Field(
        0.9, "number", fraction, "decay of BatchNorm's running moments"
    ),
    "model.gen_spectral": Field(
        False, "structure", anything, "spectral normalisation of G's kernels"
    ),
    "model.disc_spectral": Field(
        False, "structure", anything, "spectral normalisation of D's kernels"
    ),
    "model.minibatch": Field(
        "none", "structure", one_of(MINIBATCH), "what D's last layer knows of its batch"
    ),
    "model.dropout": Field(0.0, "switch", decay, "rate in D"),
    "model.gen_dropout": Field(0.0, "switch", decay, "pix2pix: rate in G's decoder"),
    "model.disc_source": Field(
        True, "structure", anything, "image_to_image: D sees the source too"
    ),
    "model.impl": Field(
        "fast",
        "structure",
        one_of(CONV),
        "convolutions; plain: slower, but forward mode; gemm: for members under vmap",
    ),
    "model.remat": Field(
        "none",
        "structure",
        one_of(REMAT),
        "what gradients compute again to save memory",
    ),
}

DATA = {
    "data.source": Field("fashion_mnist", "data", source, "examples to train on"),
    "data.stand_in": Field(
        "fashion_mnist", "run", source, "what :smoke takes where source is missing"
    ),
    "data.split": Field(
        "train", "data", anything, "train or test; for tfds: also all, train[:10%], ..."
    ),
    "data.resolution": Field(
        0, "data", between(0.0, 1024.0), "side in pixels; 0: as the source is"
    ),
    "data.crop": Field(
        0, "data", from_zero, "centre crop before resizing; 0: largest square"
    ),
    "data.skip_bad": Field(
        False,
        "data",
        anything,
        "leave out pictures that cannot be read, and count them",
    ),
    "data.flip": Field(False, "structure", anything, "mirror at random"),
    "data.resident": Field(
        "auto", "run", choice("auto", "yes", "no"), "keep the set on the device"
    ),
}
