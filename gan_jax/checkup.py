"""The doctor beside a run that is being written: what it finds goes to findings.jsonl, TensorBoard and the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from gan_jax.best import TRAINING
from gan_jax.config import flatten
from gan_jax.doctor import FINDINGS, HALTED, PAGE, Doctor, Found, told
from gan_jax.plan import Member
from gan_jax.progress import say
from gan_jax.record import Record, columns

NAMED = 3  # members that a line names


class Checkup:
    """One run's doctor, told what the run's files hold already: so a run that is resumed finds what an unbroken one does."""

    def __init__(self, record: Record, config: Mapping[str, Any]):
        """record: cut back to the step that is resumed. config: {dotted name: value}."""
        self.record, self.doctor = record, Doctor(config)
        metrics, evaluations = (
            columns(record.workdir / f"{name}.jsonl") for name in ("metrics", "eval")
        )
        own = [by == TRAINING for by in evaluations.get("by", [])]
        evaluations = {
            name: [x for x, mine in zip(column, own, strict=True) if mine]
            for name, column in evaluations.items()
            if own
        }
        for _ in told(self.doctor, metrics, evaluations):
            pass

    def logged(self, step: int, row: Mapping[str, Any]) -> list[Found]:
        """Write what is new with a row of metrics.jsonl, and return it."""
        return self.written(self.doctor.logged({"step": step, **row}))

    def measured(self, row: Mapping[str, Any]) -> list[Found]:
        """Write what is new with a row of eval.jsonl, and return it."""
        return self.written(self.doctor.measured(row))

    def halted(self, step: int, first_bad: str) -> list[Found]:
        """Write, unless it is there, that the run met what is not finite in this step."""
        known = columns(self.record.workdir / "findings.jsonl")
        if step in known.get("step", []) and HALTED in known["finding"]:
            return []
        return self.written([self.doctor.halted(step, first_bad)])

    def written(self, news: list[Found]) -> list[Found]:
        """Write findings, and return them."""
        for found in news:
            self.record.finding(found.row(), found.text())
        return news


class Ward:
    """The doctors of a sweep's group, who speak together: a line for each finding, which names a few of its members."""

    def __init__(self, group: Sequence[Member], records: Sequence[Record]):
        """A record for each member, cut back to the step that is resumed."""
        self.names = [one.name for one in group]
        self.checkups = [
            Checkup(record, flatten(one.config))
            for one, record in zip(group, records, strict=True)
        ]
        self.news: dict[tuple[int, str], list[str]] = {}

    def logged(self, index: int, step: int, row: Mapping[str, Any]) -> None:
        """A row of one member's metrics.jsonl."""
        self._note(index, self.checkups[index].logged(step, row))

    def measured(self, index: int, row: Mapping[str, Any]) -> None:
        """A row of one member's eval.jsonl."""
        self._note(index, self.checkups[index].measured(row))

    def halted(self, index: int, step: int, first_bad: str) -> None:
        """One member met what is not finite in this step."""
        self._note(index, self.checkups[index].halted(step, first_bad))

    def _note(self, index: int, news: Sequence[Found]) -> None:
        for found in news:
            key = found.step, found.finding
            self.news.setdefault(key, []).append(self.names[index])

    def say(self) -> None:
        """Say what is new since the last time."""
        for (step, finding), names in self.news.items():
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            what = f"{finding} in {', '.join(names[:NAMED])}{more}"
            say(f"step {step:,}: {what}: {FINDINGS[finding].meaning}; {PAGE}#{finding}")
        self.news.clear()
