"""The doctor: a series of logged rows -> findings, each with its steps, its evidence and what to try.

    diagnose(columns, evaluations, config) -> [Episode, ...]

A fold over rows in the order of their steps: what is found in the first k rows does not depend on later ones, so that a run
that was stopped and resumed finds the same. It keeps a bounded number of rows, about 200 however many are logged.

A rule sees a window, the rows of the last quarter of the steps so far; a finding begins when its rule has held on HOLD rows
one after the other, and ends when it has not on as many. Rows nearer to one another than half a percent of the steps so
far are skipped, so that neither the cadence of logging nor the length of a run changes what is found.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gan_jax import remedies as to
from gan_jax import symptoms
from gan_jax.remedies import Config, Try, remedy
from gan_jax.scales import number, scale_of
from gan_jax.symptoms import NOTHING, Case, Evidence, Row, View, finite, median

FIRST = 500  # the step before which only a halt is a finding: every G begins collapsed
SPAN = 0.25  # of the steps so far: the window
PAST = 0.5  # of the steps so far: what a frequency is looked for in
LEAST = 5  # rows of a window, whatever their steps
HOLD = 3  # rows on which a rule has to hold
FINEST = 200  # rows that are looked at within the steps so far, at most
HEALTHY, HALTED, MEMORISED = "healthy", "divergence", "memorisation"
COPYING = f"{MEMORISED}_copying"
PAGE = "docs/doctor.md"

Columns = Mapping[str, Sequence[Any]]


class Finding(NamedTuple):
    """A row of FINDINGS. rule(View) -> evidence or None, where None itself: found in another way. evidence: columns it reads."""

    rule: Callable[[View], Evidence | None] | None
    evidence: tuple[str, ...]
    remedy: tuple[Try, ...]
    meaning: str


class Found(NamedTuple):
    """A finding that begins at a step. first_bad: of a halt, the first array that was not finite."""

    step: int
    finding: str
    evidence: Evidence
    remedy: str
    first_bad: str = ""

    def row(self) -> dict[str, Any]:
        """As a row of findings.jsonl."""
        row = self._asdict()
        if not self.first_bad:
            del row["first_bad"]
        return row

    def text(self) -> str:
        """As a line for the terminal."""
        row = FINDINGS[self.finding]
        known = ", ".join(f"{name} {x:g}" for name, x in self.evidence.items())
        known = self.first_bad or known
        said = f"step {self.step:,}: {self.finding}: {row.meaning}"
        said += f" ({known})" if known else ""
        return said + (
            f". Try {self.remedy}; {PAGE}#{self.finding}" if self.remedy else ""
        )


class Episode(NamedTuple):
    """A finding with the step of the row on which it was over, None while it lasts."""

    found: Found
    end: int | None = None


class Doctor:
    """The fold: `logged` and `measured` take rows in the order in which a run writes them, and give what is new."""

    def __init__(self, config: Config):
        """config: the run's, {dotted name: value}; what it lacks makes rules and remedies say less."""
        packed = number(config, "trick.packing", 1)
        answers = int(2 * number(config, "batch_size", 64) / packed)
        self.config, self.case = config, Case(scale_of(config), answers)
        self.rows: deque[Row] = deque()
        self.streak = dict.fromkeys(FINDINGS, 0)  # rows it held, or -rows it did not
        self.present: dict[str, int] = {}  # finding -> the step since which it is there
        self.judged, self.well = 0, False
        self.nearness: dict[str, float] = {}  # the last value of each memorisation_*

    def logged(self, row: Row) -> list[Found]:
        """What is new with a row of metrics.jsonl."""
        step = row["step"]
        if self.rows and step - self.rows[-1]["step"] < max(step, FIRST) / FINEST:
            return []
        self.rows.append({name: row[name] for name in COLUMNS if name in row})
        if step < FIRST or len(self.rows) < LEAST:
            return []
        if not self.case.early:
            known = {name: finite(self.rows, name) for name in COLUMNS}
            self.case = self.case._replace(
                early={n: median([abs(x) for x in v]) for n, v in known.items()},
                first={name: v[0] for name, v in known.items() if v},
            )
        while len(self.rows) > LEAST and self.rows[0]["step"] <= (1 - PAST) * step:
            self.rows.popleft()
        recent = sum(row["step"] > (1 - SPAN) * step for row in self.rows)
        window = list(self.rows)[-max(recent, LEAST) :]
        return self._judge(step, View(self.case, window, self.rows))

    def measured(self, row: Row) -> list[Found]:
        """What is new with a row of eval.jsonl: memorisation is judged by the latest evaluation alone."""
        name, value = row.get("metric"), row.get("value")
        if not isinstance(name, str) or not name.startswith(MEMORISED):
            return []
        (self.nearness[name],) = finite([{name: value}], name) or [symptoms.NAN]
        if not name.startswith(COPYING):
            return []
        evidence = symptoms.memorisation(self.nearness, name.removeprefix(COPYING))
        held = HOLD if evidence else -HOLD
        return self._change(row["step"], MEMORISED, evidence, held) + self._relief(
            row["step"]
        )

    def halted(self, step: int, first_bad: str) -> Found:
        """The finding of a run that met what is not finite in this step."""
        last = View(self.case, [self.rows[-1] if self.rows else {}])
        names = FINDINGS[HALTED].evidence
        return self._found(step, HALTED, last.told(*names))._replace(
            first_bad=first_bad or "no array, when the step was computed again"
        )

    def _judge(self, step: int, view: View) -> list[Found]:
        news, self.judged = [], self.judged + 1
        for name, row in FINDINGS.items():
            if row.rule is not None:
                evidence, streak = row.rule(view), self.streak[name]
                streak = max(streak, 0) + 1 if evidence else min(streak, 0) - 1
                news += self._change(step, name, evidence, streak)
        return news + self._relief(step)

    def _change(
        self, step: int, name: str, evidence: Evidence | None, streak: int
    ) -> list[Found]:
        self.streak[name] = streak
        if streak <= -HOLD:
            self.present.pop(name, None)
        if evidence is None or streak < HOLD or name in self.present:
            return []
        self.present[name], self.well = step, False
        return [self._found(step, name, evidence)]

    def _relief(self, step: int) -> list[Found]:
        """Healthy, said once where nothing is found, nor about to be."""
        pending = self.present or any(streak > 0 for streak in self.streak.values())
        if self.well or pending or self.judged < HOLD:
            return []
        self.well = True
        return [Found(step, HEALTHY, {}, "")]

    def _found(self, step: int, name: str, evidence: Evidence) -> Found:
        ways = remedy(FINDINGS[name].remedy, self.config)
        return Found(step, name, evidence, ways)


def told(
    doctor: Doctor, logged: Columns, measured: Columns
) -> Iterator[tuple[int, list[Found]]]:
    """Tell the doctor all rows by their steps, of one step the logged ones first; yields (step, what is new)."""
    every = [(row, doctor.logged) for row in rows_of(logged)]
    every += [(row, doctor.measured) for row in rows_of(measured)]
    for row, tell in sorted(every, key=lambda one: one[0]["step"]):
        yield row["step"], tell(row)


def rows_of(columns: Columns) -> list[Row]:
    """Columns of equal length as rows."""
    return [
        dict(zip(columns, row, strict=True))
        for row in zip(*columns.values(), strict=True)
    ]


def diagnose(
    logged: Columns, measured: Columns = NOTHING, config: Config = NOTHING
) -> list[Episode]:
    """All findings of a series, in the order in which they began.

    logged: name -> a value for each row of metrics.jsonl, "step" among them; None and NaN stand for what is not there.
    measured: the same of eval.jsonl.
    """
    doctor, episodes = Doctor(config), []
    for step, news in told(doctor, logged, measured):
        episodes = [
            one._replace(end=step) if over(one, doctor) else one for one in episodes
        ]
        episodes += [Episode(found) for found in news]
    return episodes


def over(episode: Episode, doctor: Doctor) -> bool:
    """Whether an episode that lasted is over with the row that the doctor has just been told."""
    name, begun = episode.found.finding, episode.found.step
    lasts = doctor.well if name == HEALTHY else doctor.present.get(name) == begun
    return episode.end is None and not lasts


_SPREAD = ("diversity/ratio", "diversity/nearest", "diversity/duplicates")
FINDINGS: dict[str, Finding] = {
    "divergence": Finding(
        symptoms.divergence,
        ("loss/disc", "loss/gen", "grad/disc", "grad/gen"),
        (to.SMOOTH, to.SLOW_DISC, to.SLOW_GEN),
        "numbers grow without bound, or are not finite",
    ),
    "first_layer_dead": Finding(
        symptoms.first_layer_dead,
        ("dead/gen", "dead/disc"),
        (to.ALIVE, to.SLOW_GEN, to.SLOW_DISC),
        "hardly a channel of a first layer is ever on",
    ),
    "first_layer_exploding": Finding(
        symptoms.first_layer_exploding,
        ("weight/gen_first", "weight/disc_first", "update/gen", "update/disc"),
        (to.NARROW, to.SLOW_GEN, to.SLOW_DISC),
        "a first layer has grown to many times its size",
    ),
    "vanishing_generator_gradient": Finding(
        symptoms.vanishing_generator_gradient,
        ("loss/gen", "grad/gen", "disc/accuracy"),
        (to.SLOPE, to.SMOOTH, to.SLOW_DISC),
        "D leaves G no slope to follow",
    ),
    "discriminator_wins": Finding(
        symptoms.discriminator_wins,
        ("loss/disc", "loss/gen", "disc/accuracy", "grad/gen"),
        (to.SMOOTH, to.SLOW_DISC),
        "D is right everywhere and G does not catch up",
    ),
    "generator_wins": Finding(
        symptoms.generator_wins,
        ("loss/disc", "loss/gen", "disc/accuracy", "diversity/ratio"),
        (to.MORE_DISC, to.SLOW_GEN),
        "D cannot tell fakes that differ from the data, or takes them for real",
    ),
    "mode_collapse": Finding(
        symptoms.mode_collapse,
        _SPREAD,
        (to.SMOOTH, to.PAIRED, to.PACKED),
        "all samples are nearly the same",
    ),
    "partial_mode_collapse": Finding(
        symptoms.partial_mode_collapse,
        _SPREAD,
        (to.PAIRED, to.PACKED, to.SPREAD, to.SMOOTH),
        "samples vary much less than the data",
    ),
    "oscillation": Finding(
        symptoms.oscillation,
        ("disc/accuracy", "game/rotation", "diversity/ratio"),
        (to.SMOOTH, to.CALM),
        "the players chase each other in circles",
    ),
    "discriminator_overfit": Finding(
        symptoms.discriminator_overfit,
        ("logit/real", "logit/held_out", "logit/fake"),
        (to.VARIED, to.SMOOTH),
        "D knows its examples by heart",
    ),
    MEMORISED: Finding(
        None,
        (COPYING, f"{MEMORISED}_fake_to_train", f"{MEMORISED}_held_out_to_train"),
        (to.VARIED, to.SMALL),
        "samples are copies of training examples",
    ),
    HEALTHY: Finding(None, (), (), "nothing is found"),
}
COLUMNS = {"step"} | {name for row in FINDINGS.values() for name in row.evidence}
