"""Configs: complete defaults, validation with helpful errors, and the split into structure and numbers."""

import difflib
import inspect
import sys
from dataclasses import replace
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from gan_jax.augment import AUGMENTS
from gan_jax.combinations import check_together
from gan_jax.data import DataSpec, available
from gan_jax.fields import FIELDS
from gan_jax.fields.rules import NUMERIC, check_field, check_type, shown
from gan_jax.fields.schedule import parse_schedules
from gan_jax.objectives import OBJECTIVES
from gan_jax.penalties import PENALTIES
from gan_jax.regularisers import REGULARISERS
from gan_jax.scripts import executed, guarded, offered, parted
from gan_jax.types import Hyper, ModelSpec, Pair, Recipe, UserError, lookup


class ConfigError(UserError):
    """A user's mistake in a config or on the command line; the message says what to do."""


def nested(flat: dict[str, Any]) -> dict[str, Any]:
    """{"optim.gen.lr": value} -> nested dict; the inverse of `flatten`."""
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *groups, last = name.split(".")
        node = tree
        for group in groups:
            node = node.setdefault(group, {})
        node[last] = value
    return tree


def base() -> ConfigDict:
    """A config with every field at its default, locked: a config file changes what it needs."""
    defaults = nested({name: field.default for name, field in FIELDS.items()})
    return ConfigDict(defaults).lock()


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mapping -> {"optim.gen.lr": value}. Raises ConfigError for names of several types, which have no order."""
    flat = {}
    try:
        items = config.items()
    except TypeError as error:
        raise ConfigError(f"config.{prefix}* has names that are no text") from error
    for key, value in items:
        if isinstance(value, dict | ConfigDict):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def known(name: str) -> str:
    """Return `name` if it is a field; otherwise raise ConfigError with the nearest valid name."""
    if name in FIELDS:
        return name
    near = difflib.get_close_matches(name, FIELDS, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ConfigError(f"unknown config field {name!r}{hint} (all fields: --help)")


def parse(name: str, text: str) -> Any:
    """Turn the text of `--config.name=text` into the field's type; ConfigError when it cannot be."""
    kind = type(FIELDS[known(name)].default)
    try:
        if kind is bool:
            return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
        return kind(text)
    except (ValueError, KeyError):
        wanted = {bool: "true or false", int: "a whole number", float: "a number"}
        raise ConfigError(f"{name}={text!r}: expected {wanted[kind]}") from None


def override(config: ConfigDict, name: str, value: Any) -> None:
    """Set the dotted field `name`."""
    *groups, last = name.split(".")
    for group in groups:
        config = config[group]
    config[last] = value


def sweep_of(spec: str) -> Any:
    """What get_sweep() of a config file, given ARG of "FILE.py:ARG" if it takes one, asks for: text or dicts, or None."""
    path, _, words = parted(spec)
    make = getattr(executed(path), "get_sweep", None)
    return offered(path, make, words) if make else None


def load(spec: str) -> ConfigDict:
    """Read "FILE.py", "FILE.py:smoke" or "FILE.py:ARG" (ARG goes to the file's get_config).

    The file is executed as Python. Raises ConfigError when it is missing, broken, has no get_config, or this does not
    return a ConfigDict with every field, of its type.
    """
    path, smoke, words = parted(spec)
    make = getattr(executed(path), "get_config", None)
    if not callable(make):
        raise ConfigError(f"{path} has no function get_config()")
    if words and not inspect.signature(make).parameters:
        raise ConfigError(f"{path} takes no argument but smoke; got {words[0]!r}")
    config = guarded(path, make, *words)
    if not isinstance(config, ConfigDict):
        raise ConfigError(
            f"{path}: get_config() returned {shown(config)} ({type(config).__name__}); it must return a ConfigDict: "
            "change what it needs in gan_jax.config.base(), and return that"
        )
    complete(config)
    return shrink(config) if smoke else config


def loaded(spec: str, overrides: list[tuple[str, str]]) -> ConfigDict:
    """A validated config with the (name, text) overrides of a command line. Raises ConfigError."""
    config = load(spec)
    for name, text in overrides:
        override(config, name, parse(name, text))
    return validate(config)


def shrink(config: ConfigDict) -> ConfigDict:
    """The `:smoke` form of a config: seconds on a laptop, the same structure."""
    config.steps = min(config.steps, 20)
    config.batch_size = min(config.batch_size, 8)
    config.model.width = min(config.model.width, 8)
    config.model.disc_width = min(config.model.disc_width, 8)
    config.log_every = 5
    config.sample_every = config.checkpoint_every = 10
    if not available(config.data.source):
        print(
            f"data source {config.data.source!r} is not on this machine: "
            f"smoke runs on {config.data.stand_in!r}",
            file=sys.stderr,
        )
        config.data.source = config.data.stand_in
        config.data.split = "train"  # a TFDS expression means nothing to the stand-in
    return config


def check_value(name: str, value: Any) -> None:
    """Type, size and rule of one field; raises ConfigError."""
    try:
        check_field(name, FIELDS[known(name)], value)
    except UserError as error:
        raise ConfigError(str(error)) from error


def complete(config: Any) -> dict[str, Any]:
    """The config as {field: value}. Raises ConfigError unless it has every field, of its type, and no others."""
    flat = flatten(config)
    try:
        for name, value in flat.items():
            check_type(name, FIELDS[known(name)], value)
    except UserError as error:
        raise ConfigError(str(error)) from error
    missing = [name for name in FIELDS if name not in flat]
    if missing:
        raise ConfigError(
            f"config lacks {', '.join(missing)}; start it from gan_jax.config.base()"
        )
    return flat


def validate(config: Any) -> ConfigDict:
    """Check every field and combination before any work; returns the config. Raises ConfigError."""
    for name, value in complete(config).items():
        check_value(name, value)
    try:
        check_together(config)
    except UserError as error:
        raise ConfigError(str(error)) from error
    return config


def hyper_of(config: ConfigDict) -> Hyper:
    """Every number of the config as a nested dict of float32 scalars under its own name.

    The numbers of schedules are under "schedule", by the field that they multiply.
    """
    flat = flatten(config)
    numbers = nested(
        {n: np.float32(x) for n, x in flat.items() if FIELDS[n].kind in NUMERIC}
    )
    schedules = {
        name: {key: np.float32(x) for key, x in entry.numbers.items()}
        for name, entry in parse_schedules(config.schedule).items()
    }
    return {**numbers, "schedule": schedules}


def spec_of(
    config: ConfigDict,
    shape: tuple[int, ...],
    classes: int,
    source_shape: tuple[int, ...] = (),
) -> ModelSpec:
    """The structure of both networks for examples of `shape` with `classes` labels (0: none); see `recipe_of`."""
    model = config.model
    codes = (model.codes, model.code_classes, model.codes_continuous)
    same = set(ModelSpec.__dataclass_fields__) & set(model)
    spec = ModelSpec(
        **{
            name: model[name]
            for name in same - {"dropout", "gen_dropout", "latent_dim", "codes"}
        },
        image_shape=shape,
        source_shape=source_shape,
        latent_dim=model.latent_dim + codes[0] * codes[1] + codes[2],
        codes=codes,
        classes=classes,
        **{name: model[name] > 0 for name in ("dropout", "gen_dropout")},
        precision=config.precision,
    )
    return replace(
        spec, aux=lookup("objective", OBJECTIVES, config.objective).aux(spec)
    )


def recipe_of(
    config: ConfigDict,
    image_shape: tuple[int, ...],
    classes: int = 0,
    source_shape: tuple[int, ...] = (),
) -> Recipe:
    """The static part of a validated config for examples of `image_shape` ([H, W, C] or [D]).

    source_shape: of the pictures that G turns into such examples; () where it is given latents.
    """
    trick, optim, penalty = config.trick, config.optim, config.penalty
    switches = [n for n in trick if FIELDS[f"trick.{n}"].kind == "switch"]
    schedules = parse_schedules(config.schedule)
    return Recipe(
        model=spec_of(config, image_shape, classes, source_shape),
        objective=config.objective,
        loss=config.loss,
        game=config.game,
        unroll=config.game_args.unroll,
        optim=Pair(optim.gen.name, optim.disc.name),
        clip=Pair(optim.gen.clip > 0, optim.disc.clip > 0),
        penalties=tuple(name for name in PENALTIES if penalty[name]),
        regularisers=tuple(name for name in REGULARISERS if penalty[name]),
        penalty_every=penalty.every,
        tricks=tuple(sorted(name for name in switches if trick[name])),
        feature_matching=trick.feature_matching_form,
        schedules=tuple(sorted((n, s.kind) for n, s in schedules.items())),
        augment=tuple(name for name in AUGMENTS if config.augment[name]),
        adaptive=config.augment.target > 0,
        batch_size=config.batch_size,
        n_disc=config.n_disc + trick.one_more_disc,
        n_gen=config.n_gen,
        packing=trick.packing,
        flip=config.data.flip,
        share_noise=trick.share_noise,
        same_noise=trick.same_noise,
        disc_split=trick.disc_split,
        joint_batch=trick.joint_batch,
        role_swap=trick.role_swap,
        image_pool=trick.image_pool,
    )


def data_spec(config: ConfigDict) -> DataSpec:
    """What data.load needs."""
    data = config.data
    return DataSpec(
        data.source,
        data.stand_in,
        data.resolution,
        data.crop,
        data.split,
        skip_bad=data.skip_bad,
    )


def changes(old: dict[str, Any], new: ConfigDict) -> list[str]:
    """Lines "name: old -> new" for the fields that a resumed run may not change.

    A field that the old config does not know yet had its default.
    """
    before, after = flatten(old), flatten(new)
    defaults = {name: field.default for name, field in FIELDS.items()}
    names = [
        n for n in {**after, **before} if n not in FIELDS or FIELDS[n].kind != "run"
    ]
    before, after = {**defaults, **before}, {**defaults, **after}
    return [
        f"{name}: {before.get(name)!r} -> {after.get(name, 'no such field')!r}"
        for name in names
        if name not in after or before[name] != after[name]
    ]
