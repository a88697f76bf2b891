"""The plan of a sweep: members with their configs, and groups of those that one program can train."""

from copy import deepcopy
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from gan_jax import config as configs
from gan_jax.config import ConfigError
from gan_jax.fields import FIELDS
from gan_jax.settings import Setting, written


class Member(NamedTuple):
    """One training of a sweep: its folder's name, what it changes, and its whole config."""

    name: str
    setting: Setting
    config: ConfigDict


Group = list[Member]  # equal but for numbers and seed: one compiled program


def members_of(config: ConfigDict, settings: list[Setting]) -> list[Member]:
    """A member for each setting of a config. Raises ConfigError for a setting that could not be trained."""
    width = max(4, len(str(len(settings) - 1)))
    members = []
    for i, setting in enumerate(settings):
        own = deepcopy(config)
        for name, value in setting.items():
            configs.override(own, name, value)
        try:
            configs.validate(own)
        except ConfigError as error:
            raise ConfigError(f"setting {written(setting)}: {error}") from error
        members.append(Member(f"{i:0{width}d}", setting, own))
    return members


def structure(config: ConfigDict) -> tuple[Any, ...]:
    """Everything of a config that is no number: equal for two members means one program trains both."""
    kept = []
    for name, value in configs.flatten(config).items():
        kind = FIELDS[name].kind
        if kind == "switch":
            kept.append((name, bool(value)))
        elif kind not in ("number", "seed"):
            kept.append((name, value))
    return tuple(kept)


def groups_of(members: list[Member], most: int = 0) -> list[Group]:
    """Members of one structure together, at most `most` a group (0: any number), in the order of their first ones."""
    found: dict[tuple, Group] = {}
    for member in members:
        found.setdefault(structure(member.config), []).append(member)
    return [
        group[i : i + (most or len(group))]
        for group in found.values()
        for i in range(0, len(group), most or len(group))
    ]
