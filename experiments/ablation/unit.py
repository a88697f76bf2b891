"""What the plans share: the unit of work in its two forms, what an ablation says of itself, settings times seeds."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from experiments.ablation.measure import of_pictures
from gan_jax.config import base
from gan_jax.types import lookup

SEEDS = 5
Settings = dict[str, dict[str, Any]]  # name -> {field: value}


class Form(NamedTuple):
    """How much a run of the unit is; lr: of both players."""

    steps: int
    width: int
    batch_size: int
    lr: float


FORMS = {  # long: about 50 seconds of one core for a run
    "full": Form(3_000, 32, 64, 2e-4),
    "long": Form(3_000, 8, 32, 1e-3),
    "quick": Form(600, 8, 32, 1e-3),
}


class Claim(NamedTuple):
    """An expectation that numbers can bear out: `measure` of a setting is above (sign 1) or below (-1) `than`.

    than: the name of another setting, or a number. says: the claim in words.
    """

    says: str
    measure: str
    setting: str
    sign: int
    than: str | float


class Ablation(NamedTuple):
    """What an ablation asks, who claims what, and what of its runs is shown.

    reference: the setting that the others are compared with. measures: columns of its table, the first ones drawn.
    read(Trained) -> {reading: {measure: value}}: what is measured of a run; a reading other than "" is a line of its
    own, named "SETTING, READING". meaning: of measures that MEANING does not list.
    """

    question: str
    claim: str
    source: str
    reference: str
    measures: tuple[str, ...]
    claims: tuple[Claim, ...]
    read: Callable[[Any], dict[str, dict[str, float]]] = of_pictures
    meaning: Mapping[str, str] = MappingProxyType({})


def unit(form: str) -> ConfigDict:
    """The config that most plans change: the DCGAN of Radford et al. 2015 on the shipped digits, latest weights.

    No average of G, as in the sources: it would hide what is looked for. The narrow networks of the other forms have
    a higher rate, so that they get somewhere in few iterations. Raises UserError for an unknown form.
    """
    size = lookup("form", FORMS, form, own=False)
    config = base()
    config.steps, config.model.width, config.batch_size, lr = size
    config.optim.gen.lr = config.optim.disc.lr = lr
    config.ema_decay = 0.0
    config.data.source = "mnist_5k"
    config.log_every = 20
    config.monitor = (
        False  # a second program for each group, whose columns no measure takes
    )
    config.sample_every = config.checkpoint_every = 0
    return config


def seeded(settings: Settings, seeds: int = SEEDS) -> list[dict[str, Any]]:
    """A sweep's settings: each of these with each seed."""
    return [fields | {"seed": s} for fields in settings.values() for s in range(seeds)]
