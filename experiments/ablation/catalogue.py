"""The experiments A1 to A16: their folders, plans, results and verdicts."""

import importlib
import re
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from experiments.ablation import collect
from experiments.ablation.estimate import NOT_RUN, outcome, verdict
from experiments.ablation.unit import Ablation
from gan_jax.types import lookup

EXPERIMENTS = Path(__file__).parents[1]
VERDICT = "**Verdict.** "


class Experiment(NamedTuple):
    """One of them: "a03", its folder, its plan."""

    name: str
    folder: Path
    plan: ModuleType

    @property
    def about(self) -> Ablation:
        """What the plan says of it."""
        return self.plan.ABLATION

    @property
    def readme(self) -> Path:
        """Its page, generated but for the verdict."""
        return self.folder / "README.md"

    def rows(self) -> list[dict[str, Any]]:
        """What was measured, [] before it was run."""
        return collect.read(self.folder / "results.csv")

    def verdict(self) -> str:
        """The page's verdict with the words that explain it, NOT_RUN where there is no page."""
        text = self.readme.read_text() if self.readme.is_file() else ""
        return text.partition(VERDICT)[2].strip() or f"{NOT_RUN}."

    def allowed(self) -> str:
        """How the verdict has to begin by what was measured."""
        rows = self.rows()
        if not rows:
            return NOT_RUN
        values = collect.values_of(rows)
        return verdict([outcome(claim, values) for claim in self.about.claims])


def experiments() -> dict[str, Experiment]:
    """All by name, in order."""
    found = {}
    for folder in sorted(EXPERIMENTS.glob("a[0-9][0-9]_*")):
        name = folder.name.partition("_")[0]
        plan = importlib.import_module(f"experiments.{folder.name}.plan")
        found[name] = Experiment(name, folder, plan)
    return found


def named(text: str) -> list[Experiment]:
    """Those of "a03,a05", all of "". Raises UserError for another name."""
    table = experiments()
    names = text.split(",") if text else list(table)
    return [lookup("experiment", table, name, own=False) for name in names]


def first_sentence(text: str) -> str:
    """Up to the first full stop that ends a sentence, in one line."""
    return " ".join(re.split(r"(?<=\.)\s", text, maxsplit=1)[0].split())
