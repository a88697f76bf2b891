"""Combinations that make no sense are refused with the reason and the cure, and every name alone is allowed."""

import pytest

from gan_jax import config
from gan_jax.augment import AUGMENTS
from gan_jax.combinations import RULES, check_data
from gan_jax.config import ConfigError
from gan_jax.latents import LATENTS
from gan_jax.losses import LOSSES
from gan_jax.models import ENERGY_MODELS, MODELS, TRANSLATORS
from gan_jax.models.conv import CONV
from gan_jax.models.kit import CONDITIONS, MINIBATCH
from gan_jax.models.layers import INITS
from gan_jax.models.norms import NORMS
from gan_jax.objectives import OBJECTIVES
from gan_jax.parallel import PARALLEL
from gan_jax.penalties import PENALTIES
from gan_jax.regularisers import REGULARISERS
from gan_jax.tricks import FEATURE_MATCHING
from gan_jax.turns import OPTIMIZERS
from gan_jax.types import UserError

ENERGY = {"model.name": "began", "loss": "began"}
VIRTUAL = {"model.norm": "virtual"}
ACGAN = {"objective": "acgan", "model.condition": "concat_gen"}
INFOGAN = {"objective": "infogan", "model.codes": 1}
PAIRED = {"objective": "image_to_image", "model.name": "pix2pix"}
CYCLE = {"objective": "cycle", "model.name": "cyclegan"}
ADA = {"augment.ada": True, "augment.target": 0.6}


def checked(changes):
    c = config.base()
    for name, value in changes.items():
        config.override(c, name, value)
    return config.validate(c)


REFUSED = [  # (changes, part of the reason, the cure as changes)
    (
        {"game": "consensus", "n_disc": 5},
        "game=consensus moves each player once",
        {"n_disc": 1},
    ),
    (
        {"loss": "hinge", "trick.label_smooth": 0.1},
        r"trick.label_smooth needs .*\(saturating, non_saturating, least_squares\)",
        {"loss": "least_squares"},
    ),
    (
        {"loss": "rp", "trick.label_smooth_fake": 0.1},
        "trick.label_smooth_fake needs a loss with labels",
        {"loss": "saturating"},
    ),
    (
        {"loss": "energy_margin"},
        "needs a discriminator that gives an energy.*model.name began",
        {"model.name": "began"},
    ),
    (
        {"model.name": "began"},
        "autoencoder for a discriminator.*loss began, energy_margin",
        {"loss": "energy_margin"},
    ),
    (
        {**ENERGY, **INFOGAN},
        "no other heads: objective=noise_to_image and trick.packing=1",
        {"objective": "noise_to_image", "model.codes": 0},
    ),
    ({**ENERGY, "trick.packing": 2}, "judges single pictures", {"trick.packing": 1}),
    (
        {**ENERGY, "model.condition": "projection"},
        "no logit for a projection: model.condition=concat",
        {"model.condition": "concat"},
    ),
    (
        {"loss": "ra", "trick.top_k": 0.5},
        "losses that fit: .*hinge",
        {"loss": "rp"},
    ),
    (
        {"loss": "least_squares", "trick.role_swap": True},
        "role_swap needs a loss that treats real and fake alike .*hinge",
        {"loss": "hinge"},
    ),
    (
        {"trick.role_swap": True, "trick.label_smooth": 0.1},
        "choose one of them",
        {"trick.label_smooth": 0.0},
    ),
    (
        {"trick.joint_batch": True, "trick.disc_split": True},
        "choose one",
        {"trick.disc_split": False},
    ),
    (
        {"trick.joint_batch": True, "model.minibatch": "stddev"},
        "come apart: trick.joint_batch=false",
        {"trick.joint_batch": False},
    ),
    (
        {"batch_size": 10, "trick.packing": 4},
        "set --config.batch_size=12",
        {"batch_size": 12},
    ),
    (
        {"trick.packing": 2, "model.condition": "concat"},
        "packing joins samples of several labels.*model.condition=none",
        {"model.condition": "none"},
    ),
    ({**ACGAN, "trick.packing": 2}, "objective=noise_to_image", {"trick.packing": 1}),
    ({**INFOGAN, "trick.packing": 2}, "or codes into one", {"trick.packing": 1}),
    (
        {**VIRTUAL, "model.condition": "concat"},
        "reference batch without labels: model.condition=none",
        {"model.condition": "none"},
    ),
    (
        {"model.disc_norm": "virtual", "parallel": "pmap"},
        "parallel=jit",
        {"parallel": "jit"},
    ),
    (
        {"objective": "acgan"},
        "acgan needs a generator that is told.*concat_gen or norm_gen",
        {"model.condition": "norm_gen"},
    ),
    (
        {"objective": "acgan", "model.condition": "projection"},
        "tells D the class that acgan asks it to name: concat_gen",
        {"model.condition": "concat_gen"},
    ),
    (
        {"objective": "infogan"},
        "set model.codes=1 or model.codes_continuous=2",
        {"model.codes_continuous": 2},
    ),
    ({"model.codes": 1}, "found by objective infogan only", {"objective": "infogan"}),
    (
        {**INFOGAN, "model.code_classes": 1},
        "has at least 2",
        {"model.code_classes": 2},
    ),
    (
        {"augment.target": 0.6},
        "set one of augment.{color,translation,cutout,ada}=true",
        {"augment.cutout": True},
    ),
    ({**ENERGY, **ADA}, "has energies: augment.target=0", {"augment.target": 0.0}),
    (
        {"schedule": "optim.gen.lrr=linear:0:1:1:0"},
        "did you mean 'optim.gen.lr'",
        {"schedule": "optim.gen.lr=linear:0:1:1:0"},
    ),
    (
        {"schedule": "model.width=linear:0:1:1:0"},
        "unknown number in schedule 'model.width'",
        {"schedule": ""},
    ),
    (
        {"schedule": "model.init_std=linear:0:1:1:0"},
        "unknown number in schedule 'model.init_std'",
        {"schedule": ""},
    ),
    (
        {"schedule": "penalty.r1=linear:0:1:1:0"},
        "multiplies penalty.r1, which is 0: give it a value",
        {"penalty.r1": 1.0},
    ),
    (
        {"schedule": "optim.gen.b1=linear:0:1:1:2"},
        "multiplies optim.gen.b1 = 0.5 by 2.0: optim.gen.b1 is 1.0; it must be > -1 and < 1",
        {"schedule": "optim.gen.b1=linear:0:1:1:1.9"},
    ),
    (
        {"schedule": "optim.disc.lr=cosine:0:1:1:-1"},
        "by -1.0: optim.disc.lr is -0.0002; it must be >= 0",
        {"schedule": "optim.disc.lr=cosine:0:1:1:0"},
    ),
    (
        {"schedule": "ema_decay=exponential:0:1:1e-30:1e30"},
        "factors above 0 whose ratio float32 can hold",
        {"schedule": "ema_decay=exponential:0:1:0.1:1"},
    ),
    (
        {"penalty.every": 4, "penalty.lecam": 0.1},
        "needs a penalty on the critic .*r1",
        {"penalty.gp": 10.0},
    ),
    (
        {"objective": "cycle"},
        "need each other; these are objective='cycle' and model.name='dcgan'",
        {"model.name": "pix2pix"},
    ),
    (
        {"model.name": "srgan"},
        "networks pix2pix, cyclegan, srgan turn pictures into pictures",
        {"objective": "image_to_image"},
    ),
    (
        {**CYCLE, "model.gen_dropout": 0.5},
        "gen_dropout is for the network pix2pix",
        {"model.name": "pix2pix"},
    ),
    (
        {**PAIRED, "model.latent_dim": 64},
        "is of latents, and objective 'image_to_image' feeds G pictures: leave it at 100",
        {"model.latent_dim": 100},
    ),
    (
        {**CYCLE, "model.latent_dist": "uniform"},
        "leave it at normal",
        {"model.latent_dist": "normal"},
    ),
    (
        {**PAIRED, "model.condition": "concat"},
        "tells the networks no labels: model.condition=none",
        {"model.condition": "none"},
    ),
    (
        {**PAIRED, "penalty.latent_consistency": 1.0},
        "has none: penalty.latent_consistency=0",
        {"penalty.latent_consistency": 0.0},
    ),
    (
        {**PAIRED, "augment.color": True},
        "augment.color mixes colours.*model.disc_source=false",
        {"model.disc_source": False},
    ),
    (
        {**PAIRED, **ADA},
        "augment.ada mixes colours",
        {"augment.ada": False, "augment.cutout": True},
    ),
    ({**PAIRED, "trick.packing": 2}, "labels, sources or", {"trick.packing": 1}),
    (
        {**PAIRED, "model.minibatch": "stddev"},
        "judges patches, not batches: model.minibatch=none",
        {"model.name": "srgan"},
    ),
    (
        {**CYCLE, "penalty.consistency": 1.0},
        "move with them: penalty.consistency=0",
        {"penalty.consistency": 0.0},
    ),
    (
        {**CYCLE, **VIRTUAL},
        "cannot tell its reference batch: model.disc_norm=batch",
        {"model.disc_norm": "batch"},
    ),
    (
        {**PAIRED, "trick.image_pool": 50},
        "image_pool is for objective cycle; 'image_to_image' has none",
        {"trick.image_pool": 0},
    ),
    (
        {**CYCLE, "trick.image_pool": 50, "parallel": "pmap"},
        "one pool for all devices: parallel=jit",
        {"parallel": "jit"},
    ),
    (
        {**CYCLE, "trick.image_pool": 50, "trick.disc_split": True},
        "fill the pool twice: trick.disc_split=false",
        {"trick.disc_split": False},
    ),
    (
        {**ENERGY, "trick.logit_clip": 16.0},
        "cuts logits, and loss 'began' has energies: trick.logit_clip=0",
        {"trick.logit_clip": 0.0},
    ),
    (
        {**PAIRED, "trick.adversarial": 0.0, "loss_args.l1": 0.0},
        "nothing to learn",
        {"loss_args.l2": 1.0},
    ),
    (
        {"trick.adversarial": 0.0},
        "nothing to learn: set trick.feature_matching",
        {"trick.feature_matching": 1.0},
    ),
]


@pytest.mark.parametrize(("changes", "reason", "cure"), REFUSED)
def test_a_combination_is_refused_and_its_cure_is_allowed(changes, reason, cure):
    with pytest.raises(ConfigError, match=reason):
        checked(changes)
    checked({**changes, **cure})


def test_every_rule_refuses_something_here():
    refusing = set()
    for changes, _, _ in REFUSED:
        c = config.base()
        for name, value in changes.items():
            config.override(c, name, value)
        first = next(
            (rule for rule in RULES if any(True for _ in _reasons(rule, c))), None
        )
        refusing.add(first)
    assert refusing == set(RULES)


def _reasons(rule, c):
    try:
        yield from rule(c)
    except UserError as error:
        yield str(error)


COMPANIONS = {  # what a name needs beside it
    ("loss", "began"): {"model.name": "began"},
    ("loss", "energy_margin"): {"model.name": "began"},
    **{("model.name", name): {"loss": "began"} for name in ENERGY_MODELS},
    ("objective", "acgan"): {"model.condition": "concat_gen"},
    ("objective", "infogan"): {"model.codes": 1},
    ("objective", "image_to_image"): PAIRED,
    ("objective", "cycle"): CYCLE,
    **{("model.name", n): {"objective": "image_to_image"} for n in TRANSLATORS},
}
TABLES = {
    "loss": LOSSES,
    "objective": OBJECTIVES,
    "model.name": MODELS,
    "model.latent_dist": LATENTS,
    "model.condition": CONDITIONS,
    "model.minibatch": MINIBATCH,
    "model.init": INITS,
    "model.norm": NORMS,
    "model.disc_norm": NORMS,
    "model.impl": CONV,
    "optim.gen.name": OPTIMIZERS,
    "optim.disc.name": OPTIMIZERS,
    "trick.feature_matching_form": FEATURE_MATCHING,
    "parallel": PARALLEL,
}
ALONE = [
    *((field, name) for field, table in TABLES.items() for name in table),
    *((f"penalty.{name}", 1.0) for name in (*PENALTIES, *REGULARISERS)),
    *((f"augment.{name}", True) for name in AUGMENTS),
]


@pytest.mark.parametrize(("field", "name"), ALONE)
def test_every_choice_is_allowed_with_what_it_needs(field, name):
    c = checked({field: name, **COMPANIONS.get((field, name), {})})
    recipe = config.recipe_of(c, (32, 32, 3), 10)
    assert hash(recipe) is not None
    if field in ("loss", "objective"):
        assert getattr(recipe, field) == name


@pytest.mark.parametrize(
    ("changes", "shape", "classes", "reason"),
    [
        ({"data.flip": True}, (2,), 8, "data.flip mirrors pictures.*points"),
        (
            {"augment.color": True},
            (2,),
            8,
            "augment.color changes .*; these data are 2",
        ),
        ({"augment.ada": True}, (8, 8, 2), 8, "augment.ada changes grey.*8x8x2"),
        ({"model.condition": "concat"}, (8, 8, 1), 0, "need labels.*'fashion_mnist'"),
        ({"model.condition": "concat"}, (8, 8, 1), 1, "need labels"),
        (ACGAN, (2,), 0, "objective=acgan need labels"),
    ],
)
def test_what_the_data_cannot_give_is_refused(changes, shape, classes, reason):
    with pytest.raises(UserError, match=reason):
        check_data(checked(changes), shape, classes)


@pytest.mark.parametrize(
    ("changes", "shape", "classes"),
    [
        ({}, (2,), 0),
        ({"data.flip": True, "augment.ada": True}, (8, 8, 3), 0),
        ({"augment.color": True, **ACGAN}, (8, 8, 1), 2),
        (INFOGAN, (2,), 0),
    ],
)
def test_what_the_data_can_give_is_allowed(changes, shape, classes):
    check_data(checked(changes), shape, classes)
