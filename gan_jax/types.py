"""The types that flow through the program: pairs, batches, players, the joint training state.

Level 0: imports nothing of gan_jax and no flax. `Recipe` and `ModelSpec` are static and hashable (they
decide what is compiled); every number lives in `TrainState.hyper` as a float32 scalar.
"""

import difflib
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array

AnyArray = Array | np.ndarray  # what public functions take: JAX's arrays or NumPy's
Params = Any  # a pytree of arrays
Vars = Any  # what a network carries besides parameters (BatchNorm statistics); {} when nothing
Hyper = dict[str, Any]  # nested dict of float32 scalars under the config's own names
Metrics = dict[str, Array]


class UserError(ValueError):
    """A mistake that the user can mend; the message says how. The command line shows it without a traceback."""


class Pair(NamedTuple):
    """Something that the generator and the discriminator each have one of."""

    gen: Any
    disc: Any


class Batch(NamedTuple):
    """Real examples: `image` [n_disc, B, ...] for one step, [B, ...] inside it.

    Images are uint8 [.., H, W, C] or float32 already scaled to -1..1; points are float32 [.., D].
    `label` is int32 [.., B] or None; `source` is the input picture of an image-to-image task or None.
    """

    image: Any
    label: Any = None
    source: Any = None


class Scores(NamedTuple):
    """What a discriminator says of a batch: `logits` float32 [B], `features` of its last hidden layer."""

    logits: Any
    features: Any = None
    aux: Any = None


class Network(NamedTuple):
    """A network as two pure functions, the only thing the mathematics sees of Flax.

    init(key, hyper, *inputs) -> (params, vars)
    apply(params, vars, hyper, *inputs, key, train) -> (out, vars)
    """

    init: Callable[..., Any]
    apply: Callable[..., Any]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Player:
    """One side of the game: parameters, statistics, optimizer state."""

    params: Any
    vars: Any
    opt: Any


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TrainState:
    """All that a step reads and writes; saving it is saving the run.

    step: int32, finished iterations. key: one typed PRNG key, never advanced (each step folds its number in).
    ema: {"params", "vars"}, the generator's running averages. halted: bool, set by the first non-finite number; the state then
    stays at its last good value.
    """

    step: Any
    key: Any
    players: Pair
    ema: Any
    hyper: Hyper
    memory: dict[str, Any]
    halted: Any


@dataclass(frozen=True)
class ModelSpec:
    """The structure of both networks (numbers such as init std are in `hyper["model"]`)."""

    name: str
    image_shape: tuple[int, ...]  # (H, W, C), or (D,) for points
    source_shape: tuple[int, ...] = ()  # of the picture that G is given; (): latents
    latent_dim: int = 100  # of all that G is fed: noise, then codes
    latent_dist: str = "normal"
    codes: tuple[int, int, int] = (
        0,
        0,
        0,
    )  # InfoGAN: categorical, their classes, continuous
    classes: int = 0  # of the labels that the networks are told or name
    condition: str = "none"  # how they are told: a name of models.kit.CONDITIONS
    aux: int = 0  # numbers that D answers beside its logit
    width: int = 64
    disc_width: int = 0  # 0: as `width`
    depth: int = 1  # hidden layers of an MLP
    kernel: int = 4
    init: str = "normal"
    disc_init: str = ""  # "": as `init`
    embedding_init: str = ""  # of labels' embeddings; "": N(0, 1)
    norm: str = "batch"
    disc_norm: str = ""  # "": as `norm`
    gen_spectral: bool = False  # spectral normalisation of every kernel
    disc_spectral: bool = False
    constant_width: bool = False  # D as wide at every depth, not doubling
    attention: int = 0  # side of the picture that a self-attention block sees; 0: none
    minibatch: str = "none"  # a name of models.kit.MINIBATCH
    dropout: bool = False  # in the discriminator; the rate is hyper["model"]["dropout"]
    gen_dropout: bool = False  # in the generator; hyper["model"]["gen_dropout"]
    disc_source: bool = True  # D is shown the source of a pair beside the picture
    precision: str = "float32"
    impl: str = "fast"  # how convolutions are written: a name of models.conv.CONV
    remat: str = (
        "none"  # what a pass computes again for its gradient: a name of models.REMAT
    )


@dataclass(frozen=True)
class Recipe:
    """Everything that changes the compiled program."""

    model: ModelSpec
    objective: str = "noise_to_image"
    loss: str = "non_saturating"
    game: str = "alternating"  # how the players move
    unroll: int = 0  # D updates that G looks ahead (game "unrolled")
    optim: Pair = Pair("adam", "adam")
    clip: Pair = Pair(False, False)  # whether gradients are cut at a norm
    penalties: tuple[str, ...] = ()
    regularisers: tuple[str, ...] = ()
    penalty_every: int = (
        1  # penalties on the critic in every k-th iteration, k times as strong
    )
    tricks: tuple[str, ...] = ()  # the numbers of config.trick that are present
    feature_matching: str = "l2_of_means"
    schedules: tuple[tuple[str, str], ...] = ()  # (field, kind)
    augment: tuple[str, ...] = ()
    adaptive: bool = False  # the augmentation's probability is controlled (ADA)
    batch_size: int = 64
    n_disc: int = 1
    n_gen: int = 1
    packing: int = 1  # samples that D judges as one
    flip: bool = False
    share_noise: bool = True
    same_noise: bool = False  # every G update sees D's last noise
    disc_split: bool = False
    joint_batch: bool = False  # D judges real and fake in one pass
    role_swap: bool = False  # D learns to say fake
    image_pool: int = 0  # fakes kept to show D later (objective "cycle")


def lookup(kind: str, table: Mapping[str, Any], name: str, own: bool = True) -> Any:
    """Return `table[name]`, or, with `own`, the object that "package.module:attribute" names.

    Raises UserError listing the choices (nearest first) for an unknown name.
    """
    if name in table:
        return table[name]
    if own and ":" in name:
        module, _, attribute = name.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except (Exception, SystemExit) as error:  # the module may raise anything
            raise UserError(f"cannot import {kind} {name!r}: {error}") from error
    nearest = difflib.get_close_matches(name, table, n=1)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    raise UserError(f"unknown {kind} {name!r}; {hint}choices: {', '.join(table)}")
