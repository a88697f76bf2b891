"""Combinations of config fields that make no sense, each refused with the reason and what to do instead.

`check_together` looks at the config alone, `check_data` at the config beside the examples it trains on.
"""

from collections.abc import Callable, Iterator
from typing import Any

from gan_jax.augment import AUGMENTS
from gan_jax.fields import FIELDS
from gan_jax.fields.rules import check_field
from gan_jax.fields.schedule import parse_schedules
from gan_jax.games import GAMES
from gan_jax.image_tasks import has_content, translation
from gan_jax.losses import LOSSES, LossPair
from gan_jax.models import ATTENTIVE, ENERGY_MODELS
from gan_jax.models.kit import CONDITIONS
from gan_jax.penalties import PENALTIES
from gan_jax.types import UserError, lookup

Reasons = Iterator[str]


def _loss(config: Any) -> LossPair:
    return lookup("loss", LOSSES, config.loss)


def _fitting(property_of: Callable[[LossPair], bool]) -> str:
    return ", ".join(name for name, row in LOSSES.items() if property_of(row))


def labels_of_losses(config: Any) -> Reasons:
    """Smoothing needs a loss with labels."""
    for trick, number in (
        ("label_smooth", "smooth"),
        ("label_smooth_fake", "smooth_fake"),
    ):
        if config.trick[trick] and number not in _loss(config).numbers.disc:
            fit = _fitting(lambda row, n=number: n in row.numbers.disc)
            yield f"trick.{trick} needs a loss with labels ({fit}); {config.loss!r} has none"


def energies(config: Any) -> Reasons:
    """An autoencoder as D gives energies, which only energy losses understand, and the other way round."""
    energy = config.model.name in ENERGY_MODELS
    if _loss(config).energy and not energy:
        yield (
            f"loss {config.loss!r} needs a discriminator that gives an energy, such as an autoencoder's error: "
            f"model.name {', '.join(ENERGY_MODELS)}; {config.model.name!r} gives a logit"
        )
    if energy and not _loss(config).energy:
        yield (
            f"model.name {config.model.name!r} has an autoencoder for a discriminator, whose energy is low for real "
            f"pictures: loss {_fitting(lambda row: row.energy)}, not {config.loss!r}"
        )
    if energy and (config.objective != "noise_to_image" or config.trick.packing > 1):
        yield (
            f"model.name {config.model.name!r} judges single pictures and has no other heads: "
            "objective=noise_to_image and trick.packing=1"
        )
    if _loss(config).energy and config.trick.logit_clip:
        yield f"trick.logit_clip cuts logits, and loss {config.loss!r} has energies: trick.logit_clip=0"
    if energy and lookup("", CONDITIONS, config.model.condition).disc.project:
        yield f"model.name {config.model.name!r} has no logit for a projection: model.condition=concat"


def choosing_fakes(config: Any) -> Reasons:
    """Top-k and role swap each need a property of the loss."""
    row = _loss(config)
    if config.trick.top_k and not row.separable:
        yield (
            f"trick.top_k leaves fakes out of the mean, but loss {config.loss!r} compares each sample with the "
            f"mean of its batch; losses that fit: {_fitting(lambda r: r.separable)}"
        )
    if config.trick.role_swap and not row.symmetric:
        yield (
            f"trick.role_swap needs a loss that treats real and fake alike ({_fitting(lambda r: r.symmetric)}); "
            f"{config.loss!r} does not"
        )
    smooth = config.trick.label_smooth or config.trick.label_smooth_fake
    if config.trick.role_swap and smooth:
        yield "trick.role_swap exchanges the labels that label_smooth moves: choose one of them"


def one_batch(config: Any) -> Reasons:
    """What real and fake samples have to share."""
    trick = config.trick
    if trick.joint_batch and trick.disc_split:
        yield "trick.joint_batch judges real and fake at once, trick.disc_split one after the other: choose one"
    if trick.joint_batch and config.model.minibatch != "none":
        yield (
            f"model.minibatch={config.model.minibatch} compares the samples of a batch, so real and fake ones must "
            "come apart: trick.joint_batch=false"
        )
    if trick.disc_split and (config.augment.target or config.loss == "began"):
        yield (
            "trick.disc_split updates D twice on a batch, and would move the state of augment.target or of began twice: "
            "trick.disc_split=false"
        )
    if config.penalty.pull_away and config.batch_size == trick.packing:
        yield "penalty.pull_away compares fakes: batch_size must be above trick.packing"
    if config.batch_size % trick.packing:
        yield (
            f"batch_size {config.batch_size} cannot be packed by {trick.packing}; set "
            f"--config.batch_size={-(-config.batch_size // trick.packing) * trick.packing}"
        )
    if trick.packing > 1 and (
        config.model.condition != "none" or config.objective != "noise_to_image"
    ):
        yield (
            "trick.packing joins samples of several labels, sources or codes into one: model.condition=none and "
            "objective=noise_to_image"
        )


def games(config: Any) -> Reasons:
    """What players who move together cannot do, and noise that nothing shares."""
    trick, name = config.trick, config.game
    if lookup("game", GAMES, name).together:
        if max(config.n_disc + trick.one_more_disc, config.n_gen) > 1:
            yield (
                f"game={name} moves each player once and both together: n_disc=1, n_gen=1 and "
                "trick.one_more_disc=false"
            )
        if trick.disc_split:
            yield f"trick.disc_split updates D twice, game={name} once: game=alternating or unrolled"
    if trick.same_noise and not (trick.share_noise and config.n_gen > 1):
        yield "trick.same_noise repeats D's noise in further G updates: n_gen=2 or more, and trick.share_noise=true"


def virtual_norm(config: Any) -> Reasons:
    """The reference batch has no labels and is one for all devices."""
    model = config.model
    if "virtual" not in (model.norm, model.disc_norm):
        return
    if model.condition != "none":
        yield "norm=virtual keeps a reference batch without labels: model.condition=none"
    if "virtual" == (model.disc_norm or model.norm) and model.minibatch != "none":
        yield (
            f"model.minibatch={model.minibatch} would compare samples with norm=virtual's reference batch: "
            "model.minibatch=none, or model.disc_norm=none"
        )
    if config.parallel == "pmap":
        yield "norm=virtual needs one reference batch for all devices: parallel=jit"


def objectives(config: Any) -> Reasons:
    """What ACGAN and InfoGAN need, and what would be ignored without them."""
    model = config.model
    condition = lookup("model.condition", CONDITIONS, model.condition)
    if config.objective == "acgan":
        if not (condition.gen.concat or condition.gen.norm):
            yield "objective acgan needs a generator that is told the class: model.condition=concat_gen or norm_gen"
        if condition.disc.concat or condition.disc.project:
            yield (
                f"model.condition={model.condition} tells D the class that acgan asks it to name: "
                "concat_gen or norm_gen tell G alone"
            )
    codes = model.codes + model.codes_continuous
    if config.objective == "infogan" and not codes:
        yield "objective infogan has no code to find: set model.codes=1 or model.codes_continuous=2"
    if codes and config.objective != "infogan":
        yield "model.codes and codes_continuous are found by objective infogan only"
    if model.codes and model.code_classes < 2:
        yield f"model.code_classes is {model.code_classes}; a categorical code has at least 2"


def augmentation(config: Any) -> Reasons:
    """A controller without anything to control."""
    on = [name for name in AUGMENTS if config.augment[name]]
    if config.augment.target and not on:
        yield f"augment.target controls no augmentation: set one of augment.{{{','.join(AUGMENTS)}}}=true"
    if config.augment.target and _loss(config).energy:
        yield f"augment.target follows the sign of D's logit; loss {config.loss!r} has energies: augment.target=0"


def schedules(config: Any) -> Reasons:
    """A schedule multiplies a number that is there."""
    numbers = {n for n, field in FIELDS.items() if field.kind in ("number", "switch")}
    table = dict.fromkeys(sorted(numbers - {"model.init_std"}))
    for name, entry in parse_schedules(config.schedule).items():
        lookup("number in schedule", table, name, own=False)
        node = config
        for part in name.split("."):
            node = node[part]
        if not node:
            yield f"schedule multiplies {name}, which is 0: give it a value first"
        for factor in ("first", "last"):
            reached = float(node) * entry.numbers[factor]
            try:
                check_field(name, FIELDS[name]._replace(default=0.0), reached)
            except UserError as error:
                yield f"schedule multiplies {name} = {node} by {entry.numbers[factor]}: {error}"


def useless(config: Any) -> Reasons:
    """Settings that would silently do nothing."""
    if config.model.attention and config.model.name not in ATTENTIVE:
        yield (
            f"model.attention is for the networks {', '.join(ATTENTIVE)}; {config.model.name!r} has no place for it"
        )
    told = lookup("model.condition", CONDITIONS, config.model.condition)
    if config.model.embedding_init and not (told.gen.concat or told.disc.concat):
        yield "model.embedding_init is of labels that are concatenated: model.condition=concat"
    if config.penalty.every > 1 and not any(config.penalty[n] for n in PENALTIES):
        yield f"penalty.every={config.penalty.every} needs a penalty on the critic ({', '.join(PENALTIES)})"
    rest = config.trick.feature_matching or has_content(config)
    if not config.trick.adversarial and not rest:
        yield "trick.adversarial=0 leaves G nothing to learn: set trick.feature_matching"


RULES = (
    labels_of_losses,
    energies,
    choosing_fakes,
    one_batch,
    games,
    virtual_norm,
    objectives,
    translation,
    augmentation,
    schedules,
    useless,
)


def check_together(config: Any) -> None:
    """Raise UserError with the first reason why the fields of a config cannot be combined."""
    for rule in RULES:
        for reason in rule(config):
            raise UserError(reason)


def check_data(
    config: Any,
    shape: tuple[int, ...],
    classes: int,
    source_shape: tuple[int, ...] = (),
    paired: bool = False,
) -> None:
    """Raise UserError if the config asks of examples [N, *shape] with `classes` labels what they have not.

    source_shape: of their input pictures, () where there are none; paired: whether these are their own.
    """
    check_sources(config, shape, source_shape, paired)
    pictures = len(shape) == 3
    on = [name for name in AUGMENTS if config.augment[name]]
    if config.data.flip and not pictures:
        raise UserError("data.flip mirrors pictures; these data are points")
    if on and not (pictures and shape[-1] in (1, 3)):
        raise UserError(
            f"augment.{on[0]} changes grey or colour pictures; these data are {'x'.join(map(str, shape))}"
        )
    labelled = config.model.condition != "none" or config.objective == "acgan"
    if labelled and classes < 2:
        raise UserError(
            f"model.condition={config.model.condition} and objective={config.objective} need labels, and data source "
            f"{config.data.source!r} has none"
        )


def check_sources(
    config: Any, shape: tuple[int, ...], source_shape: tuple[int, ...], paired: bool
) -> None:
    """Raise UserError if the objective lacks input pictures, cannot take these, or would ignore them."""
    objective, what = config.objective, f"data source {config.data.source!r} has"
    has = "x".join(map(str, source_shape)) or "no"
    if objective == "image_to_image" and not (source_shape and paired):
        raise UserError(
            f"objective image_to_image needs pairs, and {what} {has} input pictures, paired: {str(paired).lower()}: "
            "data.source=edges:emoji or paired:DIR, or objective=cycle with model.name=cyclegan for two domains"
        )
    if objective == "cycle" and source_shape != shape:
        raise UserError(
            f"objective cycle needs two domains of one size and colour; {what} {has} input pictures beside "
            f"{'x'.join(map(str, shape))}: data.source=domains:SOURCE,A,B or unpaired:DIR_A,DIR_B"
        )
    if source_shape and objective not in ("image_to_image", "cycle"):
        cure = "image_to_image with model.name=pix2pix"
        cure = cure if paired else "cycle with model.name=cyclegan"
        raise UserError(
            f"{what} input pictures that objective {objective} would ignore: objective={cure}, or a data.source "
            "without, such as emoji"
        )
