"""The Markdown of an experiment's README and of docs/ablations.md, from plans and results.csv."""

from collections.abc import Sequence
from typing import Any

from experiments.ablation import collect
from experiments.ablation.catalogue import VERDICT, Experiment, first_sentence
from experiments.ablation.estimate import (
    Interval,
    difference,
    effect,
    mean,
    outcome,
)
from experiments.ablation.measure import LATENTS, MEANING, POINTS, SAMPLES
from experiments.ablation.unit import FORMS, Claim

ROUNDED = 1e-6  # of a value: what results.csv leaves out
Values = dict[str, dict[str, list[float]]]
TOP = f"""# Ablations of stability

What the sources of [sources.md](sources.md) claim of stability, and what their readers repeat, tried over seeds. A claim is a comparison:
it is *borne out* where the 95 % interval of the difference between two settings lies on the claimed side of 0 (Welch), *the other way*
where it lies on the other side, else *undecided*. A verdict is "holds" where all claims of an experiment are borne out, "holds only if" where
some are, "does not hold" where none is and one is contradicted, else "undecided". Intervals are of one comparison each, not corrected for their number.

The unit is the DCGAN of Radford et al. 2015 on the 5,000 shipped digits, latest weights, no average; the *long* form is narrower,
about 50 seconds of one core for a run, and the *quick* form is shorter, too, for minutes on a CPU: it says what happens at the beginning of training only. {SAMPLES:,} samples of a run are measured ({POINTS:,}
points), made of the same latents (seed {LATENTS}). This page and every README are written by `python -m experiments.ablation` from the
results.csv files: a sweep that is finished is measured with `--only=a03 --workdir=runs/a03`. A stopped sweep goes on with the same command.
"""


def short(x: float) -> str:
    """A number as a table has it: three digits, or whole thousands."""
    return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.3g}"


def written(interval: Interval, sign: str = "") -> str:
    """A mean and half its interval. sign "+": of a difference."""
    plus = sign if interval.mean > 0 else ""
    said = f"{plus}{short(interval.mean)}"
    if interval.half is None:
        return said
    exact = interval.half < ROUNDED * abs(interval.mean)
    return f"{said} +- {short(0.0 if exact else interval.half)}"


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def size(one: Experiment, form: str) -> str:
    """How much a form of an experiment is, in words; without the learning rate where settings have their own."""
    config = one.plan.get_config(form)
    settings = one.plan.settings(config)
    seeds = collect.seeds_of(one.plan.get_sweep(form))
    said = f"{config.steps:,} iterations, width {config.model.width}, batch {config.batch_size}"
    if not any("optim.gen.lr" in fields for fields in settings.values()):
        said += f", learning rate {config.optim.gen.lr:g}"
    return f"{said}, {len(settings)} settings x {len(seeds)} seeds"


def plan_file(one: Experiment, form: str) -> str:
    """The plan as --config takes it."""
    tail = "" if form == "full" else f":{form}"
    return f"experiments/{one.folder.name}/plan.py{tail}"


def command(one: Experiment, form: str) -> str:
    """What trains a form."""
    return (
        f"python launch.py sweep --config={plan_file(one, form)} --backend=map "
        f"--workdir=runs/{one.name}"
    )


def form_of(rows: Sequence[dict[str, Any]]) -> str:
    """The form that results.csv is of, "" before it was run."""
    return rows[0]["form"] if rows else ""


def commands(one: Experiment) -> str:
    """The commands of all forms, and which of them the numbers are of."""
    done, lines = form_of(one.rows()), []
    for form in FORMS:
        said = ": measured below" if form == done else ""
        lines += [f"# {form}: {size(one, form)}{said}", command(one, form)]
    lines.append(
        f"python -m experiments.ablation --only={one.name} --workdir=runs/{one.name}"
    )
    return "```\n" + "\n".join(lines) + "\n```"


def compared(claim: Claim) -> str:
    """What a claim compares, in words."""
    side = {1: "above", -1: "below"}[claim.sign]
    than = claim.than if isinstance(claim.than, str) else short(claim.than)
    return f"`{claim.measure}` of {claim.setting} {side} {than}"


def found(claim: Claim, values: Values) -> str:
    """A claim's difference between two settings, or the mean that it compares with a number."""
    if isinstance(claim.than, str):
        return written(effect(claim, values), "+")
    return written(mean(values[claim.setting][claim.measure]))


def claims(one: Experiment, values: Values) -> str:
    """The claims, what was measured, and whether that bears them out."""
    lines = [
        (
            claim.says,
            compared(claim),
            found(claim, values),
            outcome(claim, values),
        )
        for claim in one.about.claims
    ]
    return table(("claim", "comparison", "difference, or mean", "borne out"), lines)


def cell(one: Experiment, values: Values, setting: str, measure: str) -> str:
    """A mean with its interval; a star where it differs from the reference's."""
    mine = values[setting].get(measure)
    if not mine:
        return ""
    other = values[one.about.reference].get(measure)
    apart = setting != one.about.reference and other
    star = " *" if apart and difference(mine, other).against(0.0) else ""
    return written(mean(mine)) + star


def numbers(one: Experiment, values: Values) -> str:
    """A line for each setting, a column for each measure."""
    shown = list(one.about.measures)
    if any(x for own in values.values() for x in own["diverged"]):
        shown.append("diverged")
    lines = [
        (setting, *(cell(one, values, setting, name) for name in shown))
        for setting in values
    ]
    return table(("setting", *(f"`{name}`" for name in shown)), lines)


def measured(one: Experiment) -> str:
    """What was found, "" before it was run."""
    rows = one.rows()
    if not rows:
        return ""
    values, form = collect.values_of(rows), form_of(rows)
    meaning = {
        name: one.about.meaning.get(name) or MEANING[name]
        for name in one.about.measures
    }
    legend = "; ".join(f"`{name}`: {said}" for name, said in meaning.items())
    return f"""**Measured**, {form} form ({size(one, form)}); means and 95 % intervals over seeds:

{claims(one, values)}

{numbers(one, values)}

\\* differs from {one.about.reference}: the 95 % interval of the difference leaves 0 out. {legend}.

![Every seed, and means with their 95 % intervals](../../docs/images/ablations/{one.name}.svg)

"""


def readme(one: Experiment) -> str:
    """An experiment's page, with the verdict that it has."""
    about = one.about
    return f"""# {one.name.upper().replace("A0", "A")}. {about.question}

**Claim.** {about.claim}

**Source.** {about.source}

**Command.**

{commands(one)}

{measured(one)}{VERDICT}{one.verdict()}
"""


def line(one: Experiment) -> tuple[str, ...]:
    """An experiment's line in the summary."""
    rows, about = one.rows(), one.about
    told, picture = "", ""
    if rows:
        values, first = collect.values_of(rows), about.claims[0]
        told = f"{compared(first)}: {found(first, values)}"
        picture = f"[picture](#{one.name})"
    form = form_of(rows) or "quick"
    return (
        f"[{one.name.upper().replace('A0', 'A')}](../experiments/{one.folder.name}/README.md)",
        about.claim,
        about.source,
        first_sentence(one.verdict()),
        told,
        form_of(rows) or "-",
        picture,
        f"`launch.py sweep --config={plan_file(one, form)}`",
    )


def summary(all_of_them: Sequence[Experiment]) -> str:
    """docs/ablations.md."""
    head = ("", "claim", "source", "verdict", "effect", "form", "figure", "command")
    figures = [
        f"## {one.name}\n\n{one.about.question} [README](../experiments/{one.folder.name}/README.md)\n\n"
        f"![{one.about.question}](images/ablations/{one.name}.svg)\n"
        for one in all_of_them
        if one.rows()
    ]
    lines = [line(one) for one in all_of_them]
    return "\n".join([TOP, table(head, lines), "", *figures])
