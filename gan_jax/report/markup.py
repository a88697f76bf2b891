"""HTML whose text is always escaped: whatever a file says stays text."""

import html
from typing import Any

_VOID = {"img", "input", "meta", "link", "col", "br"}


class Html(str):
    """Text that is markup already."""


def tag(name: str, /, *children: Any, **attributes: Any) -> Html:
    """An element. Children: Html is kept, lists are walked, None is nothing, the rest is escaped text.

    attributes: `class_` is class and `data_v` data-v; True writes the bare name, None and False nothing.
    """
    words = [name]
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            words.append(key)
        elif value is not None and value is not False:
            words.append(f'{key}="{html.escape(str(value))}"')
    head = f"<{' '.join(words)}>"
    return Html(head if name in _VOID else f"{head}{join(children)}</{name}>")


def join(children: Any) -> Html:
    """Children one after the other, as `tag` takes them."""
    if children is None:
        return Html("")
    if isinstance(children, Html):
        return children
    if isinstance(children, list | tuple):
        return Html("".join(map(join, children)))
    return Html(html.escape(str(children)))


def number(value: float | int | None, digits: int = 4) -> str:
    """A number for people: `digits` significant ones, thousands apart from 1,000 on; a dash for None."""
    if value is None:
        return "\N{EN DASH}"
    if isinstance(value, int) or float(value).is_integer() and abs(value) < 1e9:
        text = f"{int(value):,}"
    else:
        text = f"{value:.{digits}g}"
    return text.replace("-", "\N{MINUS SIGN}")


def said(value: Any) -> str:
    """A config value as the command line takes it, but with words for nothing."""
    if value is None:
        return "absent"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float | int):
        return f"{value:g}" if abs(value) < 1e6 else str(value)
    return '""' if value == "" else str(value)


def section(title: str, name: str, *children: Any) -> Html:
    """A part of the page with its heading, which the list of contents names."""
    head = tag("h2", title, id=f"{name}-head")
    return tag("section", head, *children, id=name, aria_labelledby=f"{name}-head")


def cell(value: Any, text: Any = None, **attributes: Any) -> Html:
    """A cell of a table: numbers to the right; data-v is what a sort compares, absent for a missing value."""
    numeric = isinstance(value, float | int) and not isinstance(value, bool)
    if text is None:
        text = number(value) if numeric or value is None else said(value)
    kind = "num" if numeric or value is None else None
    return tag("td", text, class_=kind, data_v=value, **attributes)


def table(
    heads: list[Any], rows: list[Html], sortable: bool = False, caption: str = ""
) -> Html:
    """A table in its own scrolling box. A sortable one has a button in each head."""
    if sortable:
        heads = [tag("button", head, type="button") for head in heads]
    cells = [tag("th", head, scope="col") for head in heads]
    body = tag(
        "table",
        tag("caption", caption) if caption else None,
        tag("thead", tag("tr", cells)),
        tag("tbody", rows),
        class_="sortable" if sortable else None,
    )
    label = caption or "table"
    return tag("div", body, class_="box", tabindex="0", role="region", aria_label=label)
