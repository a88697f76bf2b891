"""Train the benchmark, label each run by its truth, ask the doctor, compare.

    python -m experiments.failures.run --half=calibration --workdir=runs/failures
    python -m experiments.failures.run --half=held_out --workdir=runs/failures

Five seeds of a kind train in one program. Each run has its folder under members/, as a sweep's, and truth in truth/KIND-SEED.jsonl,
which the doctor does not read. Kinds that have their truth are not trained again: the same command goes on, or, when all is
there, asks the doctor anew. Writes results.csv of the half beside the runs, and prints the tables.
"""

import argparse
import csv
import itertools
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import jax

from experiments.failures import kinds, score, table
from experiments.failures.kinds import HALVES, KINDS
from experiments.failures.label import label, summed
from experiments.failures.measure import Examiner
from gan_jax.files import write_atomic
from gan_jax.group import set_up
from gan_jax.herd import Herd, How
from gan_jax.job import Job, assemble
from gan_jax.plan import Group, Member
from gan_jax.rows import read_object
from gan_jax.saved import POINTER
from gan_jax.stop import Stop, stoppable
from gan_jax.train import DONE, INTERRUPTED, say
from gan_jax.verbs.doctor import patient

PLAN = "experiments/failures/kinds.py"
BACKEND = {"points": "vmap", "pictures": "map"}  # the faster one on a CPU
TOGETHER = 5  # seeds of one program
NUMBERS = ("error", "spread", "still", "reach", "copies", "auc", "overfit", "push")


class Judged(Herd):
    """A group in training. In place of a sample picture its truth is measured, at the same cadence."""

    def __init__(self, folder: Path, group: Group, job: Job, how: How):
        """Begin the group."""
        super().__init__(folder, group, job, how)
        self.examiner = Examiner(job)
        self.truth: list[list[dict[str, Any]]] = [[] for _ in group]
        self.players: tuple[int, Any] = (-1, None)

    def picture(self, row: int) -> None:
        """Measure one member."""
        if self.players[0] != self.step:
            found = self.states.players, self.states.hyper
            self.players = self.step, jax.device_get(found)
        players, hyper = jax.tree.map(lambda x: x[row], self.players[1])
        samples = self.sample(row)(self.examiner.fed)
        found = self.examiner.row(self.step, samples, players, hyper)
        self.truth[self.alive[row]].append(found)


def name_of(kind: str, seed: int) -> str:
    """A run's name."""
    return f"{kind}-{seed}"


def group_of(kind: str, seeds: list[int]) -> Group:
    """Some of a kind's runs."""
    group = []
    for seed in seeds:
        config = kinds.get_config(kind)
        config.seed = seed
        group.append(Member(name_of(kind, seed), {"seed": seed}, config))
    return group


def truth_file(workdir: Path, run: str) -> Path:
    """Where a run's truth is."""
    return workdir / "truth" / f"{run}.jsonl"


def train(kind: str, seeds: list[int], workdir: Path, stop: Stop) -> bool:
    """Train a kind, if its truth is not there; whether it is now. What an interrupted one left is removed."""
    group = group_of(kind, seeds)
    files = [truth_file(workdir, one.name) for one in group]
    if all(file.is_file() for file in files):
        return True
    folder = workdir / "groups" / group[0].name
    left = [folder, *(workdir / "members" / one.name for one in group)]
    for path in left:
        shutil.rmtree(path, ignore_errors=True)
    say(f"{kind}: {len(group)} runs")
    alone = f"python launch.py --config={PLAN}:{kind}"
    herd = Judged(
        folder,
        group,
        assemble(group[0].config),
        How(BACKEND[KINDS[kind].family], alone),
    )
    if not herd.run(stop):
        return False
    for file, rows in zip(files, herd.truth, strict=True):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        write_atomic(file, text.encode())
    return True


def case(kind: str, seed: int, workdir: Path) -> tuple[score.Case, dict[str, Any]]:
    """A run's case, and its line of results.csv."""
    run, (family, half, _) = name_of(kind, seed), KINDS[kind]
    folder = workdir / "members" / run
    lines = truth_file(workdir, run).read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    halted_at = read_object(folder / POINTER, "train it again").get("halted_at")
    found = label(family, rows, halted_at)
    one = score.Case(kind, half, seed, *found, said(folder))
    end = summed(family, rows, halted_at is not None)
    numbers = {n: f"{end.value[n]:.4g}" for n in NUMBERS if n in end.value}
    spoken = sorted(one.said.items(), key=lambda x: (x[1], x[0]))
    line = {"kind": kind, "half": half, "seed": seed, "verdict": one.verdict}
    line |= {
        "truth": " ".join(sorted(one.truth)),
        "broken_at": "" if one.broken_at is None else one.broken_at,
        "said": " ".join(f"{name}@{step}" for name, step in spoken),
        "right": int(score.right(one)),
    }
    return one, line | numbers | {
        "hop": f"{end.hop:.4g}",
        "growth": f"{end.growth:.4g}",
    }


def said(folder: Path) -> dict[str, int]:
    """finding -> the first step at which the doctor says it of a run, from the run's folder alone."""
    steps: dict[str, int] = {}
    for found, _ in patient(folder).episodes:
        steps[found.finding] = min(found.step, steps.get(found.finding, found.step))
    return steps


def write(path: Path, lines: list[dict[str, Any]]) -> None:
    """Write results.csv."""
    names = list(dict.fromkeys(name for line in lines for name in line))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def main() -> int:
    """Do what the flags ask for; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--half", choices=HALVES, required=True)
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--kinds", default="", help="some of the half's, with commas")
    args = parser.parse_args()
    mine = [name for name, kind in KINDS.items() if kind.half == args.half]
    chosen = [
        name for name in mine if name in (args.kinds.split(",") if args.kinds else mine)
    ]
    set_up(kinds.get_config(chosen[0]), cores=1)
    with stoppable() as stop:
        for kind, first in itertools.product(chosen, range(0, args.seeds, TOGETHER)):
            seeds = list(range(first, min(first + TOGETHER, args.seeds)))
            if not train(kind, seeds, args.workdir, stop):
                say("interrupted. The same command goes on from here")
                return INTERRUPTED
    runs = [
        case(kind, seed, args.workdir) for kind in chosen for seed in range(args.seeds)
    ]
    write(args.workdir / f"results_{args.half}.csv", [line for _, line in runs])
    print(table.report([one for one, _ in runs]))
    return DONE


if __name__ == "__main__":
    sys.exit(main())
