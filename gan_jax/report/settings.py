"""Settings: runs whose configs are the same but for the seed."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from gan_jax.report.gather import Run
from gan_jax.report.markup import said

_MOST = 4  # fields in a label
DATA = "data (sha256)"  # the same name may have stood for other files


class Setting(NamedTuple):
    """Runs of one config. fields: the values that tell it from other settings; label: the same in few words."""

    number: int
    label: str
    fields: dict[str, Any]
    runs: list[Run]


def everything(run: Run) -> dict[str, Any]:
    """The config and the digest of the data."""
    data = run.about.get("data")
    digest = data.get("digest") if isinstance(data, dict) else None
    return run.config | ({DATA: digest} if digest else {})


def key(value: Any) -> str:
    """Text that is equal for equal values, 1 and 1.0 among them."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = float(value)
    return json.dumps(value, sort_keys=True)


def varied(runs: Sequence[Run]) -> list[str]:
    """The fields that differ between runs, seed last."""
    configs = [everything(run) for run in runs]
    # A member that has not started says nothing of its data.
    started = [c for c, run in zip(configs, runs, strict=True) if run.about]
    names = dict.fromkeys(name for config in configs for name in config)
    differ = []
    for name in names:
        among = started if name == DATA else configs
        if len({key(config.get(name)) for config in among}) > 1:
            differ.append(name)
    return sorted(differ, key=lambda name: name == "seed")


def short(names: Sequence[str]) -> dict[str, str]:
    """The shortest endings of dotted names that still differ."""
    out = {}
    for name in names:
        parts = name.split(".")
        ends = [".".join(parts[-n:]) for n in range(1, len(parts) + 1)]
        others = [other for other in names if other != name]
        free = [e for e in ends if not any(f".{o}".endswith(f".{e}") for o in others)]
        out[name] = free[0] if free else name
    return out


def settings_of(runs: Sequence[Run], order: Sequence[str] = ()) -> list[Setting]:
    """Runs by setting. order: fields by whose values settings are sorted; else as the runs came."""
    fields = [name for name in varied(runs) if name != "seed"]
    names = short(fields)
    groups: dict[str, list[Run]] = {}
    for run in runs:
        known = everything(run)
        groups.setdefault(key([key(known.get(f)) for f in fields]), []).append(run)
    found = list(groups.values())
    if order:
        swept = [name for name in order if name in fields]
        found.sort(key=lambda g: [_rank(g[0].config.get(name)) for name in swept])
    out = []
    for i, group in enumerate(found):
        values = {name: everything(group[0]).get(name) for name in fields}
        words = [f"{names[name]} {said(value)}" for name, value in values.items()]
        label = ", ".join(words) if 0 < len(words) <= _MOST else group[0].name
        out.append(Setting(i, label, values, group))
    return out


def _rank(value: Any) -> tuple[int, float, str]:
    """An order for values of any kind: numbers first, by size."""
    if isinstance(value, int | float):
        return 0, float(value), ""
    return 1, 0.0, str(value)
