"""The page: one file, no network, the same bytes for the same folders."""

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from gan_jax.report import tables
from gan_jax.report.curves import colours, training
from gan_jax.report.findings import findings
from gan_jax.report.gather import Report, Run
from gan_jax.report.markup import Html, join, said, section, table, tag
from gan_jax.report.samples import pictures
from gan_jax.report.settings import DATA, Setting, everything, key, settings_of, varied
from gan_jax.version import __version__

_MANY = 8  # distinct values that are shown in full


def build(
    report: Report, defaults: Mapping[str, Any], better: Mapping[str, int]
) -> str:
    """Lay a report out as HTML.

    defaults: config field -> default value. better: name of a metric -> 1 where higher is better, -1 where lower is.
    """
    settings = settings_of(report.runs, report.fields)
    parts = [
        _overview(report, settings, defaults),
        tables.heat_maps(report),
        tables.evaluation(settings, better),
        pictures(settings),
        training(settings),
        findings(report.runs),
        tables.members(report),
        _origin(report.runs),
    ]
    parts = [part for part in parts if part]
    title = f"{report.title} \N{EN DASH} report"
    style = _asset("page.css") + colours(settings)
    script = _asset("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("link", rel="icon", href="data:,"),
        tag("title", title),
        tag("style", Html(style)),
    )
    foot = tag("footer", f"gan_jax {__version__}")
    top = tag(
        "header", tag("h1", report.title), _summary(report, settings), _contents(parts)
    )
    body = tag("body", top, tag("main", parts), foot, tag("script", Html(script)))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _asset(name: str) -> str:
    return files("gan_jax.report").joinpath(name).read_text(encoding="utf-8")


def _summary(report: Report, settings: Sequence[Setting]) -> Html:
    """One line: how many of what, and how they ended."""
    runs = report.runs
    words = [f"{len(runs)} run{'s' * (len(runs) > 1)}"]
    if len(runs) > 1:
        words.append(f"{len(settings)} setting{'s' * (len(settings) > 1)}")
    sources = dict.fromkeys(str(run.config.get("data.source", "?")) for run in runs)
    words += [", ".join(sources), f"step {max(run.step for run in runs):,}"]
    ended = Counter(run.status for run in runs)
    chips = [
        tag(
            "span",
            f"{count} {status}" if len(runs) > 1 else status,
            class_=f"status {status}",
        )
        for status, count in ended.most_common()
    ]
    return tag("p", " \N{MIDDLE DOT} ".join(words), " ", chips, class_="summary")


def _contents(parts: Sequence[Html]) -> Html:
    """Links to the sections."""
    heads = re.findall(r'<h2 id="(\w+)-head">([^<]*)</h2>', "".join(parts))
    links = [tag("a", Html(title), href=f"#{name}") for name, title in heads]
    return tag("nav", links, aria_label="Sections")


def _overview(
    report: Report, settings: Sequence[Setting], defaults: Mapping[str, Any]
) -> Html:
    """The command, and what differs between the runs."""
    commands = [report.command] if report.command else []
    commands = commands or list(
        dict.fromkeys(str(r.about.get("command", "")) for r in report.runs)
    )
    shown = [
        tag("pre", command, tabindex="0", aria_label="command")
        for command in commands
        if command
    ]
    more = shown[1:]
    folded = (
        tag("details", tag("summary", f"{len(more)} more commands"), more)
        if more
        else None
    )
    notes = [
        tag("p", text, class_="note warn")
        for text in [*report.notes, *_twins(settings)]
    ]
    groups = [
        f"{g.get('members', '?')} ({g.get('backend') or 'not started'})"
        for g in report.groups
    ]
    compiled = (
        tag("p", f"Compiled groups: {', '.join(groups)} members.", class_="note")
        if groups
        else None
    )
    differ = _differences(report.runs)
    config = _config(report.runs, defaults)
    return section(
        "What was run", "run", notes, shown[:1], folded, compiled, differ, config
    )


def _twins(settings: Sequence[Setting]) -> list[str]:
    """Runs that are no samples of their own."""
    out = []
    for setting in settings:
        seeds = Counter(said(run.config.get("seed")) for run in setting.runs)
        twice = [seed for seed, count in seeds.items() if count > 1]
        if twice:
            out.append(
                f"{setting.label}: seed {', '.join(twice)} occurs more than once; n and intervals count each run as one"
            )
    return out


def _differences(runs: Sequence[Run]) -> Html | None:
    fields = varied(runs)
    if not fields:
        return None
    rows = [
        tag(
            "tr",
            tag("th", tag("code", name), scope="row"),
            tag("td", _distinct(runs, name)),
        )
        for name in fields
    ]
    return table(["field", "values"], rows, caption="What differs between the runs")


def _distinct(runs: Sequence[Run], name: str) -> str:
    """The values that runs have of a field, in order; the middle ones of many are left out."""
    found = [everything(run).get(name) for run in runs]
    if name == DATA:
        found = [str(digest)[:12] for digest in found if digest]
    values = list({key(value): value for value in found}.values())
    if all(isinstance(value, int | float) for value in values):
        values.sort()
    words = [said(value) for value in values]
    if len(words) > _MANY:
        words = [
            *words[:4],
            "\N{HORIZONTAL ELLIPSIS}",
            *words[-2:],
            f"({len(values)} values)",
        ]
    return ", ".join(words)


def _config(runs: Sequence[Run], defaults: Mapping[str, Any]) -> Html:
    """Fields that are not at their default, folded away for several runs; then all, folded away."""
    names = sorted({name for run in runs for name in run.config})
    unset = object()
    changed = [
        name
        for name in names
        if any(key(run.config.get(name)) != key(defaults.get(name)) for run in runs)
        or defaults.get(name, unset) is unset
    ]
    rows = [
        tag(
            "tr",
            tag("th", tag("code", name), scope="row"),
            tag(
                "td",
                said(defaults[name]) if name in defaults else "\N{EN DASH}",
                class_="quiet",
            ),
            tag("td", _distinct(runs, name)),
        )
        for name in changed
    ]
    every = [
        tag(
            "tr",
            tag("th", tag("code", name), scope="row"),
            tag("td", _distinct(runs, name)),
        )
        for name in names
    ]
    first = tag(
        "details",
        tag("summary", f"{len(changed)} fields are not at their default"),
        table(["field", "default", "value"], rows),
        open=len(runs) == 1,
    )
    whole = tag(
        "details",
        tag("summary", f"All {len(names)} fields"),
        table(["field", "value"], every),
    )
    return join([first, whole])


def _origin(runs: Sequence[Run]) -> Html:
    """Versions, commit and data, each value with the number of runs where they differ."""
    found: dict[str, Counter[str]] = {}
    started = [run for run in runs if run.about]
    for run in started:
        facts = {"git commit": run.about.get("git") or "not recorded"}
        for part in ("versions", "data"):
            inside = run.about.get(part)
            facts |= (
                {k: v for k, v in inside.items()} if isinstance(inside, dict) else {}
            )
        for name, value in facts.items():
            text = (
                value
                if isinstance(value, str)
                else json.dumps(value, ensure_ascii=False)
            )
            found.setdefault(
                {"name": "data", "digest": "data sha256"}.get(name, name), Counter()
            )[text] += 1
    rows = []
    for name, values in found.items():
        alone = len(values) == 1 and values.total() == len(started)
        words = [
            text if alone else f"{text} ({count} runs)"
            for text, count in values.items()
        ]
        rows.append(
            tag(
                "tr",
                tag("th", name, scope="row"),
                tag("td", "; ".join(words), class_="wrap"),
            )
        )
    return section("Versions and data", "origin", table(["what", "value"], rows))
