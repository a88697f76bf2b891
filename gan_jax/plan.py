"""The plan of a sweep: members with their configs, and groups of those that one program can train."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from gan_jax import config as configs
from gan_jax.config import ConfigError
from gan_jax.fields import FIELDS
from gan_jax.files import write_atomic
from gan_jax.record import RecordError, read_config
from gan_jax.rows import read_object
from gan_jax.settings import Setting, written
from gan_jax.types import UserError

PLAN = "sweep.json"
_ADVICE = "restore it, or choose another --workdir"
_RESTORE = "restore it from a copy, or choose another --workdir"


class Member(NamedTuple):
    """One training of a sweep: its folder's name, what it changes, and its whole config."""

    name: str
    setting: Setting
    config: ConfigDict


Group = list[Member]  # equal but for numbers and seed: one compiled program


def members_of(
    config: ConfigDict, settings: list[Setting], first: int = 0
) -> list[Member]:
    """A member for each setting of a config, numbered from `first`. Raises ConfigError for one that cannot be trained."""
    width = max(4, len(str(first + len(settings) - 1)))
    members = []
    for i, setting in enumerate(settings, start=first):
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


def groups_of(members: list[Member]) -> list[Group]:
    """Members of one structure together, in the order of their first ones."""
    found: dict[tuple, Group] = {}
    for member in members:
        found.setdefault(structure(member.config), []).append(member)
    return list(found.values())


def cut(group: Group, most: int) -> list[Group]:
    """A group in as few as hold at most `most` members (0: any number), none much smaller than another."""
    count = -(-len(group) // (most or len(group)))
    each = -(-len(group) // count)
    return [group[i : i + each] for i in range(0, len(group), each)]


class Plan:
    """All members and groups of a sweep so far, as sweep.json holds them.

    What a folder was planned for keeps its groups. bytes: of each group's program, by backend. head: what stands before
    the members: command, and for a search what decides the proposals.
    """

    def __init__(self, config: ConfigDict, workdir: Path, head: dict[str, Any]):
        """Read the folder's plan, if there is one. Raises ConfigError."""
        self.config, self.workdir, self.head = config, workdir, head
        self.members: list[Member] = []
        self.groups: list[Group] = []
        self.bytes: list[dict[str, int]] = []
        if (workdir / "config.json").is_file():
            raise ConfigError(f"{workdir} holds a single run: choose another --workdir")
        path = workdir / PLAN
        if not path.is_file():
            return
        try:
            self.take(read_object(path, _ADVICE))
        except UserError:
            raise
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise ConfigError(
                f"{path} is damaged ({type(error).__name__}: {error}): {_ADVICE}"
            ) from None

    def take(self, old: dict[str, Any]) -> None:
        """Go on with an earlier plan's members and groups."""
        if old.get("search") != self.head["search"]:
            said = old.get("search") or "a fixed list of settings"
            raise ConfigError(
                f"{self.workdir} holds another sweep, of {said}; go on with it, or choose another --workdir"
            )
        made = members_of(self.config, [m["setting"] for m in old["members"]])
        names = [m["name"] for m in old["members"]]  # a longer sweep has wider ones
        self.members = [m._replace(name=n) for m, n in zip(made, names, strict=True)]
        self.groups = [[] for _ in old["groups"]]
        self.bytes = [group.get("bytes", {}) for group in old["groups"]]
        for one, said in zip(self.members, old["members"], strict=True):
            self.groups[said["group"]].append(one)
            there = folder_of(self.workdir, one)
            if (there / "config.json").is_file():
                differs = configs.changes(read_config(there)["config"], one.config)
                if differs:
                    raise ConfigError(
                        f"{there} was trained with another config: {'; '.join(differs)}; choose another --workdir"
                    )

    def check(self, settings: list[Setting]) -> None:
        """Raise ConfigError if the folder was planned for other settings."""
        old = [m.setting for m in self.members]
        if old and old != settings:
            raise ConfigError(
                f"{self.workdir} holds another sweep ({len(old)} members over {', '.join(self.fields)}); "
                "go on with its settings, or choose another --workdir"
            )

    def add(self, groups: list[Group], taken: list[dict[str, int]]) -> None:
        """Plan further groups, and the bytes of each."""
        self.members += sorted(
            (m for group in groups for m in group), key=lambda m: m.name
        )
        self.groups += groups
        self.bytes += taken

    @property
    def fields(self) -> list[str]:
        """The fields that settings name."""
        return list(dict.fromkeys(name for m in self.members for name in m.setting))

    def write(self) -> None:
        """Write sweep.json."""
        place = {
            member.name: (i, j)
            for i, group in enumerate(self.groups)
            for j, member in enumerate(group)
        }
        members = [
            {"name": m.name, "group": i, "index": j, "setting": m.setting}
            for m in self.members
            for i, j in [place[m.name]]
        ]
        groups = [
            {"backend": backend_of(self.workdir, i), "members": len(g), "bytes": b}
            for i, (g, b) in enumerate(zip(self.groups, self.bytes, strict=True))
        ]
        body = self.head | {"fields": self.fields, "members": members}
        text = json.dumps(body | {"groups": groups}, indent=1)
        write_atomic(self.workdir / PLAN, text.encode())


def recorded(workdir: Path) -> tuple[ConfigDict, dict[str, Any]]:
    """The config that a run was trained with, and its data's facts, from config.json.

    Of these `shape`, `label_names`, `source_shape` ([] without sources) and `paired` are there and checked.

    Raises RecordError for a file that is damaged in whatever way.
    """
    said = read_config(workdir, ["shape", "label_names", "source_shape", "paired"])
    data, config = said["data"], configs.base()
    try:
        config.update(said["config"])
        configs.validate(config)
        for name in ("shape", "source_shape"):
            if not all(type(n) is int and n > 0 for n in data[name]):
                raise ValueError(f"data.{name} is {data[name]}")
        if len(data["source_shape"]) not in (0, 3):
            raise ValueError(f"data.source_shape is {data['source_shape']}")
        if not all(isinstance(name, str) for name in data["label_names"]):
            raise ValueError("data.label_names are no names")
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        path = workdir / "config.json"
        raise RecordError(
            f"{path} is damaged ({str(error).partition(chr(10))[0][:200]}): {_RESTORE}"
        ) from error
    return config, data


def folder_of(workdir: Path, one: Member) -> Path:
    """A member's run folder."""
    return workdir / "members" / one.name


def group_folder(workdir: Path, number: int) -> Path:
    """Where a group's checkpoints are."""
    return workdir / "groups" / str(number)


def backend_of(workdir: Path, number: int) -> str:
    """The backend that a group was begun with, "" before."""
    path = group_folder(workdir, number) / "group.json"
    if not path.is_file():
        return ""
    backend = read_object(path, _ADVICE).get("backend")
    if not isinstance(backend, str):
        raise RecordError(f"{path} holds no backend: {_ADVICE}")
    return backend
