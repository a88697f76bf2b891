"""Sections that are tables: evaluation, heat maps, members."""

import json
import math
from collections.abc import Callable, Mapping, Sequence

from gan_jax.report import curves
from gan_jax.report.gather import Report, Run
from gan_jax.report.markup import Html, cell, join, number, said, section, table, tag
from gan_jax.report.settings import DATA, Setting, short, varied
from gan_jax.report.stats import (
    Cell,
    Estimate,
    Series,
    estimate,
    heat,
    lines_of,
    number_fields,
    places,
    series_of,
    value_names,
)

_AXES = 3  # most fields that heat maps pair


def evaluation(settings: Sequence[Setting], better: Mapping[str, int]) -> Html | None:
    """Means over seeds with their interval, their protocols, and curves; None where nothing was evaluated."""
    runs = [run for setting in settings for run in setting.runs]
    every = series_of(runs)
    if not every:
        return None
    protocols = list(dict.fromkeys(series.protocol for series in every))
    heads = {s: _head(s, protocols.index(s.protocol) + 1, better) for s in every}
    rows = [
        (setting, {s: estimate(lines_of(setting.runs, s)) for s in every})
        for setting in settings
    ]
    steps = {e.step for _, found in rows for e in found.values() if e is not None}
    caption = "Means over seeds"
    if len(steps) == 1:
        caption, steps = f"{caption} at step {steps.pop():,}", set()
    if len(settings) > 1:
        body = [
            tag(
                "tr",
                tag("th", setting.label, scope="row"),
                [_mean(found[s], bool(steps)) for s in every],
            )
            for setting, found in rows
        ]
        columns = ["setting", *heads.values()]
    else:
        found = rows[0][1]
        body = [
            tag("tr", tag("th", heads[s], scope="row"), _mean(found[s], bool(steps)))
            for s in every
        ]
        columns = ["metric", "value"]
    shown = table(columns, body, sortable=len(settings) > 1, caption=caption)
    note = tag(
        "p",
        "Mean \N{PLUS-MINUS SIGN} half of the 95 % Student-t interval over n seeds, at the last step that most seeds "
        "have; one seed has no interval, and values that are not finite are left out. [1]: the protocol. Only values of one protocol compare.",
        class_="note",
    )
    drawn = curves.evaluation(
        settings, lambda s: f"{s.metric} [{protocols.index(s.protocol) + 1}]"
    )
    return section(
        "Evaluation", "evaluation", note, shown, drawn, _protocols(protocols)
    )


def _head(series: Series, protocol: int, better: Mapping[str, int]) -> Html:
    way = {1: ("\N{UPWARDS ARROW}", "higher is better")}
    way[-1] = ("\N{DOWNWARDS ARROW}", "lower is better")
    arrow, words = way.get(better.get(series.metric, 0), ("", ""))
    mark = [" ", tag("abbr", arrow, title=words)] if arrow else None
    return join([series.metric, mark, tag("small", f" [{protocol}]")])


def _mean(found: Estimate | None, step: bool) -> Html:
    """A cell: the mean, its interval, n, and the step where cells differ in it."""
    if found is None:
        return cell(None)
    half = "" if found.half is None else f" \N{PLUS-MINUS SIGN} {number(found.half, 2)}"
    at = f", step {found.step:,}" if step else ""
    some = f" of {found.of}" if found.n < found.of else ""
    small = tag("small", f" n {found.n}{some}{at}")
    return cell(found.mean, join([number(found.mean), half, small]))


def _protocols(protocols: Sequence[str]) -> Html:
    """Each protocol in full, folded away."""
    rows = []
    for i, text in enumerate(protocols, start=1):
        items = [f"{key} {said(value)}" for key, value in json.loads(text).items()]
        rows.append(tag("li", "; ".join(items) or "not recorded", value=i))
    head = tag("summary", f"Protocols ({len(protocols)})")
    return tag("details", head, tag("ol", rows, class_="protocols"))


def heat_maps(report: Report) -> Html | None:
    """For each pair of swept number fields a map of means; None with fewer than two such fields."""
    fields = number_fields(report.runs, report.fields)[:_AXES]
    if len(fields) < 2:
        return None
    names = value_names(report.runs)
    pairs = [(a, b) for i, a in enumerate(fields) for b in fields[i + 1 :]]
    options = [tag("option", name, value=i) for i, name in enumerate(names)]
    label = tag("label", "Value ", tag("select", options, id="heat-value"))
    pages = [
        tag(
            "div",
            [_map(report.runs, down, across, name) for down, across in pairs],
            class_="maps",
            data_value=i,
            hidden=i > 0,
        )
        for i, name in enumerate(names)
    ]
    note = tag(
        "p",
        "Means over all members with the two values (seeds, and any other swept field). Members that diverged are "
        "left out; a small n of m says how many of a cell's members count where some do not.",
        class_="note",
    )
    return section("Heat maps", "heat", note, tag("p", label), pages)


def _map(runs: Sequence[Run], down: str, across: str, name: str) -> Html:
    cells = heat(runs, down, across, name)
    rows, heads = (
        list(dict.fromkeys(places(run.config[field] for run in runs).values()))
        for field in (down, across)
    )
    shade = _shades([c.mean for c in cells.values() if c.mean is not None])
    names = short([down, across])
    body = [
        tag(
            "tr",
            tag("th", row, scope="row"),
            [_shaded(cells.get((row, column)), shade) for column in heads],
        )
        for row in rows
    ]
    columns = [tag("th", column, scope="col") for column in heads]
    corner = tag(
        "th",
        f"{names[down]} \N{RIGHTWARDS ARROW WITH CORNER DOWNWARDS}",
        class_="corner",
    )
    top = tag(
        "th", names[across], colspan=len(heads), scope="colgroup", class_="across"
    )
    caption = tag("caption", f"{name} by {down} (rows) and {across} (columns)")
    head = tag("thead", tag("tr", corner, top), tag("tr", tag("td"), columns))
    filled = tag("table", caption, head, tag("tbody", body), class_="heat")
    return tag(
        "div",
        filled,
        class_="box",
        tabindex="0",
        role="region",
        aria_label=f"{name} by {down} and {across}",
    )


def _shades(values: Sequence[float]) -> Callable[[float], int]:
    """A function from a value to 0..100, by its logarithm where positive values span two powers of ten."""
    if not values:
        return lambda value: 0
    low, high = min(values), max(values)
    bend = math.log if low > 0 and high / low > 100 else float
    low, high = bend(low), bend(high)
    return lambda value: round(100 * (bend(value) - low) / ((high - low) or 1))


def _shaded(found: Cell | None, shade: Callable[[float], int]) -> Html:
    if found is None or found.mean is None:
        count = f"0 of {found.of}" if found else None
        return tag("td", "\N{EN DASH}", tag("br"), tag("small", count), class_="none")
    percent = shade(found.mean)
    few = f"{found.n} of {found.of}" if found.n < found.of else None
    return tag(
        "td",
        number(found.mean, 3),
        [tag("br"), tag("small", few)] if few else None,
        style=f"--p:{percent}%",
        class_="strong" if percent > 78 else None,
    )


def members(report: Report) -> Html | None:
    """All runs with the fields that differ, their status and their values; None for a single run."""
    runs = report.runs
    if len(runs) == 1:
        return None
    fields = varied(runs)
    fields = [
        *(f for f in report.fields if f in fields),
        *(f for f in fields if f not in report.fields),
    ]
    fields = [f for f in fields if f != DATA]
    heads = short(fields)
    names = list(dict.fromkeys(name for run in runs for name in run.values))
    rows = [
        tag(
            "tr",
            tag("th", run.name, scope="row", data_v=run.name),
            tag(
                "td",
                tag("span", run.status, class_=f"status {run.status}"),
                data_v=run.status,
            ),
            cell(run.step),
            [cell(run.config.get(f), said(run.config.get(f))) for f in fields],
            [cell(run.values.get(name)) for name in names],
        )
        for run in runs
    ]
    columns = [
        "member",
        "status",
        "step",
        *(tag("span", heads[f], title=f) for f in fields),
        *names,
    ]
    title = "Members" if report.fields else "Runs"
    note = tag(
        "p",
        "Press a head to sort, again to turn the order round; what is missing stays last.",
        class_="note",
    )
    return section(
        title,
        "members",
        note,
        table(columns, rows, sortable=True, caption=f"{len(runs)} {title.lower()}"),
    )
