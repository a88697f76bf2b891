"""Fields of the game: loss, penalties, tricks, augmentation, optimizers."""

from gan_jax.augment import AUGMENTS
from gan_jax.fields.rules import (
    Field,
    above_zero,
    anything,
    between,
    decay,
    either_way,
    fraction,
    from_zero,
    one_of,
    whole,
)
from gan_jax.games import GAMES
from gan_jax.losses import LOSSES
from gan_jax.objectives import OBJECTIVES
from gan_jax.penalties import PENALTIES
from gan_jax.regularisers import REGULARISERS
from gan_jax.tricks import FEATURE_MATCHING
from gan_jax.turns import OPTIMIZERS

LOSS = {
    "objective": Field(
        "noise_to_image", "structure", one_of(OBJECTIVES), "who minimises what"
    ),
    "loss": Field("non_saturating", "structure", one_of(LOSSES), "adversarial loss"),
    "loss_args.margin": Field(
        1.0, "number", from_zero, "of the hinge and the energy_margin loss"
    ),
    "loss_args.a": Field(0.0, "number", anything, "least squares: D's label of fakes"),
    "loss_args.b": Field(
        1.0, "number", anything, "least squares: D's label of real pictures"
    ),
    "loss_args.c": Field(1.0, "number", anything, "least squares: the label G aims at"),
    "loss_args.gamma": Field(
        0.5, "number", from_zero, "began: energy of fakes to that of real pictures"
    ),
    "loss_args.k_rate": Field(0.001, "number", from_zero, "began: how fast k moves"),
    "loss_args.aux": Field(
        1.0, "number", from_zero, "weight of the class (acgan) or code (infogan) term"
    ),
    "loss_args.aux_continuous": Field(
        0.1, "number", from_zero, "infogan: weight of the continuous codes' term"
    ),
    "loss_args.l1": Field(
        100.0, "number", from_zero, "image_to_image: weight of mean |G(s) - y|"
    ),
    "loss_args.l2": Field(
        0.0, "number", from_zero, "image_to_image: weight of mean (G(s) - y)^2"
    ),
    "loss_args.cycle": Field(
        10.0, "number", from_zero, "cycle: weight of there and back again"
    ),
    "loss_args.identity": Field(
        5.0, "number", from_zero, "cycle: weight of leaving pictures of its domain"
    ),
}

GAME = {
    "game": Field("alternating", "structure", one_of(GAMES), "how the players move"),
    "game_args.consensus": Field(
        1.0, "number", from_zero, "consensus: weight of the gradient of |v|^2 / 2"
    ),
    "game_args.unroll": Field(
        5, "structure", whole, "unrolled: D updates that G looks ahead"
    ),
}

PENALTY = {
    **{
        f"penalty.{name}": Field(0.0, "switch", from_zero, "weight; 0: absent")
        for name in (*PENALTIES, *REGULARISERS)
    },
    "penalty.every": Field(
        1, "structure", whole, "lazy: critic penalties every k-th iteration, k times"
    ),
}

TRICK = {
    "trick.label_smooth": Field(0.0, "switch", decay, "real labels are 1 - this"),
    "trick.label_smooth_fake": Field(
        0.0, "switch", decay, "fake labels are this (two-sided smoothing)"
    ),
    "trick.label_flip": Field(
        0.0, "switch", fraction, "share of a D batch whose labels are exchanged"
    ),
    "trick.role_swap": Field(
        False, "structure", anything, "D learns to say fake, G to be called real"
    ),
    "trick.instance_noise": Field(
        0.0, "switch", from_zero, "std of noise on what D sees"
    ),
    "trick.instance_noise_steps": Field(
        0, "number", from_zero, "noise falls to 0 here; 0: constant"
    ),
    "trick.adversarial": Field(
        1.0, "number", from_zero, "weight of G's adversarial loss; 0: the rest alone"
    ),
    "trick.feature_matching": Field(
        0.0, "switch", from_zero, "weight of feature matching in G's loss"
    ),
    "trick.feature_matching_form": Field(
        "l2_of_means", "structure", one_of(FEATURE_MATCHING), "which of its forms"
    ),
    "trick.top_k": Field(
        0.0, "switch", fraction, "G learns from this share of its batch, the best"
    ),
    "trick.packing": Field(1, "structure", whole, "samples that D judges as one"),
    "trick.share_noise": Field(
        True, "structure", anything, "the first G update reuses D's last fakes"
    ),
    "trick.same_noise": Field(
        False, "structure", anything, "all G updates of a step use D's last noise"
    ),
    "trick.disc_split": Field(
        False,
        "structure",
        anything,
        "one optimizer step on real, one on fake, each with the penalties",
    ),
    "trick.joint_batch": Field(
        False, "structure", anything, "D judges real and fake in one (BatchNorm) batch"
    ),
    "trick.disc_pretrain": Field(
        0, "switch", from_zero, "iterations in which D trains alone"
    ),
    "trick.one_more_disc": Field(
        False, "structure", anything, "n_disc + 1 D updates, the CMU recitation's count"
    ),
    "trick.stall_disc_accuracy": Field(
        0.0, "switch", fraction, "D rests while its accuracy is above; 0: never"
    ),
    "trick.stall_disc_loss": Field(
        0.0, "switch", anything, "D rests while its loss is below; 0: never"
    ),
    "trick.stall_gen_loss": Field(
        0.0, "switch", anything, "G rests while its loss is below; 0: never"
    ),
    "trick.logit_clip": Field(
        0.0, "switch", from_zero, "logits in the losses are cut here (Keras: 16.118)"
    ),
    "trick.image_pool": Field(
        0, "structure", from_zero, "cycle: fakes kept to show D later (50)"
    ),
    "trick.weight_clip": Field(
        0.0, "switch", from_zero, "D's parameters are cut to -this..this (WGAN: 0.01)"
    ),
}

AUGMENT = {
    **{
        f"augment.{name}": Field(
            False, "structure", anything, "augment what D sees, differentiably"
        )
        for name in AUGMENTS
    },
    "augment.p": Field(
        1.0, "number", fraction, "probability of each augmentation where target is 0"
    ),
    "augment.target": Field(
        0.0, "switch", between(0.0, 1.0), "ADA: p follows the sign of D(x) to this, 0.6"
    ),
    "augment.kimg": Field(
        500.0, "number", above_zero, "ADA: thousand real pictures for p from 0 to 1"
    ),
}


def optimizer(player: str) -> dict[str, Field]:
    """The rows of one player's optimizer."""
    rows = {
        "name": Field("adam", "structure", one_of(OPTIMIZERS), "optimizer"),
        "lr": Field(2e-4, "number", from_zero, "learning rate"),
        "b1": Field(
            0.5, "number", either_way, "decay of Adam's first moment; may be below 0"
        ),
        "b2": Field(
            0.999, "number", decay, "decay of the squared gradient (rmsprop too)"
        ),
        "eps": Field(
            1e-8, "number", from_zero, "added to the root of the squared gradient"
        ),
        "momentum": Field(
            0.0, "number", either_way, "of sgd and rmsprop; may be below 0"
        ),
        "weight_decay": Field(
            0.0, "number", from_zero, "of adamw and lion (decoupled)"
        ),
        "clip": Field(0.0, "switch", from_zero, "gradients are cut at this norm"),
    }
    return {f"optim.{player}.{name}": row for name, row in rows.items()}
