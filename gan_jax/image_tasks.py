"""Combinations that make no sense where G is fed pictures: the rules of image-to-image tasks for combinations.py."""

from collections.abc import Iterator
from typing import Any

from gan_jax.fields import FIELDS
from gan_jax.models import PATCHED, TRANSLATORS

CONTENT = {  # objective -> the numbers of what G learns beside its game
    "image_to_image": ("l1", "l2"),
    "cycle": ("cycle", "identity"),
}


def has_content(config: Any) -> bool:
    """Whether G has something to learn that is no adversarial loss."""
    terms = CONTENT.get(config.objective, ())
    return any(config.loss_args[name] for name in terms)


def translation(config: Any) -> Iterator[str]:
    """Networks and objectives of translation belong together; what only one of them has, the others refuse."""
    name, objective = config.model.name, config.objective
    if (objective in CONTENT) != (name in TRANSLATORS) and ":" not in name:
        yield (
            f"the objectives {', '.join(CONTENT)} and the networks {', '.join(TRANSLATORS)} turn pictures into pictures "
            f"and need each other; these are objective={objective!r} and model.name={name!r}"
        )
    if config.model.gen_dropout and name != "pix2pix" and ":" not in name:
        yield f"model.gen_dropout is for the network pix2pix; G of {name!r} has none"
    if objective in CONTENT:
        yield from _fed_pictures(config)
    if name in PATCHED:
        yield from _patches(config)
    if config.trick.image_pool:
        yield from _pool(config)


def _fed_pictures(config: Any) -> Iterator[str]:
    model, augment = config.model, config.augment
    for name in ("latent_dim", "latent_dist"):
        default = FIELDS[f"model.{name}"].default
        if model[name] != default:
            yield (
                f"model.{name}={model[name]} is of latents, and objective {config.objective!r} feeds G pictures: leave it "
                f"at {default}"
            )
    if model.condition != "none":
        yield f"objective {config.objective!r} tells the networks no labels: model.condition=none"
    if config.penalty.latent_consistency:
        yield (
            f"penalty.latent_consistency compares near latents, and objective {config.objective!r} has none: "
            "penalty.latent_consistency=0"
        )
    beside = config.objective == "image_to_image" and model.disc_source
    mixed = [name for name in ("color", "ada") if augment[name]]
    if beside and mixed:
        yield (
            f"augment.{mixed[0]} mixes colours, and the channels that D is shown are source and picture: "
            "augment.translation and cutout, or model.disc_source=false"
        )


def _patches(config: Any) -> Iterator[str]:
    model, name = config.model, config.model.name
    if model.minibatch != "none":
        yield f"D of {name!r} judges patches, not batches: model.minibatch=none"
    if config.penalty.consistency:
        yield (
            f"penalty.consistency moves pictures, and the patches that D of {name!r} judges move with them: "
            "penalty.consistency=0"
        )
    if "virtual" == (model.disc_norm or model.norm):
        yield (
            f"D of {name!r} answers several numbers a picture, among which norm=virtual cannot tell its reference "
            "batch: model.disc_norm=batch"
        )


def _pool(config: Any) -> Iterator[str]:
    if config.objective != "cycle":
        yield f"trick.image_pool is for objective cycle; {config.objective!r} has none: trick.image_pool=0"
    if config.parallel == "pmap":
        yield "trick.image_pool keeps one pool for all devices: parallel=jit"
    if config.trick.disc_split:
        yield "trick.disc_split updates D twice on a batch, and would fill the pool twice: trick.disc_split=false"
