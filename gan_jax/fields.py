"""Every config field in one table: default, kind, rule, help. Validation, --help and the recipe follow from it.

Kinds:
    structure  changes the compiled program, and so what a sweep can join
    seed       its own row in a sweep, but no number of the mathematics
    number     a float32 leaf of `state.hyper`; a sweep over it is one program
    switch     0 means absent (structure); any other value is a number
    data       which examples are trained on
    run        cadences and placement: may change when a run is resumed
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from gan_jax.data import SOURCES
from gan_jax.losses import LOSSES
from gan_jax.models import MODELS
from gan_jax.models.conv import CONV
from gan_jax.models.layers import INITS
from gan_jax.models.norms import NORMS
from gan_jax.objectives import LATENTS, OBJECTIVES
from gan_jax.parallel import PARALLEL
from gan_jax.penalties import PENALTIES
from gan_jax.step import OPTIMIZERS
from gan_jax.types import UserError, lookup

Rule = Callable[[str, Any], None]


class Field(NamedTuple):
    """A row: the default also fixes the type; `rule(name, value)` raises UserError when it is not kept."""

    default: Any
    kind: str
    rule: Rule
    help: str


def between(low: float, high: float = math.inf, open_end: bool = False) -> Rule:
    """Rule: low <= value <= high (or < high)."""

    def rule(name: str, value: Any) -> None:
        inside = low <= value < high if open_end else low <= value <= high
        if not inside:
            upper = (
                "" if high == math.inf else f" and {'<' if open_end else '<='} {high:g}"
            )
            raise UserError(f"{name} is {value!r}; it must be >= {low:g}{upper}")

    return rule


def above_zero(name: str, value: Any) -> None:
    """Rule: value > 0."""
    if not value > 0:
        raise UserError(f"{name} is {value!r}; it must be > 0")


def anything(name: str, value: Any) -> None:
    """Rule: every value of the right type."""


def choice(*names: str) -> Rule:
    """Rule: one of these words."""
    table = dict.fromkeys(names)

    def rule(name: str, value: Any) -> None:
        lookup(name, table, value, own=False)

    rule.choices = names
    return rule


def one_of(table: Mapping[str, Any], *others: str) -> Rule:
    """Rule: a name in the table, one of the others, or "package.module:attribute" of your own."""

    def rule(name: str, value: Any) -> None:
        if value not in others:
            lookup(name, table, value)

    rule.choices = tuple(table)
    return rule


def source(name: str, value: Any) -> None:
    """Rule: a source by its name, a prefix with its argument, or your own function."""
    if value.partition(":")[0] not in SOURCES:
        lookup(name, SOURCES, value)


source.choices = tuple(SOURCES)
whole = between(1.0)
from_zero = between(0.0)
fraction = between(0.0, 1.0)
decay = between(0.0, 1.0, open_end=True)


def optimizer_fields(player: str) -> dict[str, Field]:
    """The rows of one player's optimizer."""
    rows = {
        "name": Field("adam", "structure", one_of(OPTIMIZERS), "optimizer"),
        "lr": Field(2e-4, "number", from_zero, "learning rate"),
        "b1": Field(0.5, "number", decay, "decay of Adam's first moment"),
        "b2": Field(
            0.999, "number", decay, "decay of the squared gradient (rmsprop too)"
        ),
        "eps": Field(
            1e-8, "number", from_zero, "added to the root of the squared gradient"
        ),
        "momentum": Field(0.0, "number", decay, "of sgd and rmsprop"),
        "weight_decay": Field(0.0, "number", from_zero, "of adamw (decoupled)"),
    }
    return {f"optim.{player}.{name}": row for name, row in rows.items()}


FIELDS: dict[str, Field] = {
    "seed": Field(0, "seed", from_zero, "of initial weights, data order and noise"),
    "steps": Field(
        20_000, "run", whole, "iterations: n_disc D updates then n_gen G updates"
    ),
    "batch_size": Field(
        64, "structure", whole, "pictures of one update, all devices together"
    ),
    "n_disc": Field(
        1, "structure", whole, "D updates an iteration, each on a fresh batch"
    ),
    "n_gen": Field(1, "structure", whole, "G updates an iteration"),
    "objective": Field(
        "noise_to_image", "structure", one_of(OBJECTIVES), "who minimises what"
    ),
    "loss": Field("non_saturating", "structure", one_of(LOSSES), "adversarial loss"),
    "loss_args.margin": Field(1.0, "number", from_zero, "of the hinge loss"),
    "loss_args.a": Field(0.0, "number", anything, "least squares: D's label of fakes"),
    "loss_args.b": Field(
        1.0, "number", anything, "least squares: D's label of real pictures"
    ),
    "loss_args.c": Field(1.0, "number", anything, "least squares: the label G aims at"),
    "ema_decay": Field(
        0.999, "number", decay, "of G's averaged weights; 0: the latest weights"
    ),
    "model.name": Field("dcgan", "structure", one_of(MODELS), "networks"),
    "model.latent_dim": Field(100, "structure", whole, "size of z"),
    "model.latent_dist": Field(
        "normal", "structure", one_of(LATENTS), "distribution of z"
    ),
    "model.width": Field(
        64, "structure", whole, "channels of the widest picture, or units of an MLP"
    ),
    "model.disc_width": Field(0, "structure", from_zero, "the same for D; 0: as width"),
    "model.depth": Field(1, "structure", whole, "hidden layers of an MLP"),
    "model.kernel": Field(4, "structure", between(2.0), "side of the convolutions"),
    "model.init": Field("normal", "structure", one_of(INITS), "initial weights"),
    "model.init_std": Field(
        0.02, "number", from_zero, "of init=normal and truncated_normal"
    ),
    "model.norm": Field("batch", "structure", one_of(NORMS), "normalisation"),
    "model.disc_norm": Field(
        "", "structure", one_of(NORMS, ""), "the same for D; empty: as norm"
    ),
    "model.norm_momentum": Field(
        0.9, "number", fraction, "decay of BatchNorm's running moments"
    ),
    "model.dropout": Field(0.0, "switch", decay, "rate in D"),
    "model.impl": Field(
        "fast",
        "structure",
        one_of(CONV),
        "convolutions; plain: slower, but forward mode; gemm: for members under vmap",
    ),
    "data.source": Field("fashion_mnist", "data", source, "examples to train on"),
    "data.stand_in": Field(
        "fashion_mnist", "run", source, "what :smoke takes where source is missing"
    ),
    "data.split": Field(
        "train", "data", anything, "train or test; for tfds: also all, train[:10%], ..."
    ),
    "data.resolution": Field(
        0, "data", from_zero, "side in pixels; 0: as the source is"
    ),
    "data.crop": Field(
        0, "data", from_zero, "centre crop before resizing; 0: largest square"
    ),
    "data.flip": Field(False, "structure", anything, "mirror at random"),
    "data.resident": Field(
        "auto", "run", choice("auto", "yes", "no"), "keep the set on the device"
    ),
    **optimizer_fields("gen"),
    **optimizer_fields("disc"),
    **{
        f"penalty.{name}": Field(0.0, "switch", from_zero, "weight; 0: absent")
        for name in PENALTIES
    },
    "trick.label_smooth": Field(0.0, "switch", decay, "real labels are 1 - this"),
    "trick.instance_noise": Field(
        0.0, "switch", from_zero, "std of noise on what D sees"
    ),
    "trick.instance_noise_steps": Field(
        0, "number", from_zero, "noise falls to 0 here; 0: constant"
    ),
    "trick.share_noise": Field(
        True, "structure", anything, "the first G update reuses D's last fakes"
    ),
    "trick.disc_split": Field(
        False, "structure", anything, "one optimizer step on real, one on fake"
    ),
    "log_every": Field(100, "run", whole, "iterations between rows of metrics.jsonl"),
    "sample_every": Field(
        1000, "run", from_zero, "iterations between sample grids; 0: none"
    ),
    "checkpoint_every": Field(
        1000, "run", from_zero, "iterations between checkpoints; 0: at the end"
    ),
    "scan_steps": Field(50, "run", whole, "most iterations in one dispatch"),
    "parallel": Field(
        "jit", "run", one_of(PARALLEL), "how several devices share a batch"
    ),
    "precision": Field(
        "float32",
        "structure",
        choice("float32", "bfloat16"),
        "of the networks' arithmetic",
    ),
}
