"""A sweep: groups of members trained one after the other, each member's rows and pictures in a run folder of its own.

    sweep.json             the plan: command, fields, members, groups with the backend that was taken
    results.csv            setting, status, last and best values of every member
    members/0003/          config.json, metrics.jsonl, eval.jsonl, samples/, member.json: where its weights are
    groups/0/checkpoints/  the states of all members of a group
    tensorboard/           HParams of all members

Killed anywhere, the same command goes on: finished groups are not touched, an unfinished one resumes from its last
checkpoint, to the same bytes.
"""

import csv
import io
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from gan_jax import config as configs
from gan_jax.best import best_of
from gan_jax.checkpoint import Checkpoints
from gan_jax.config import ConfigError
from gan_jax.files import write_atomic
from gan_jax.herd import Herd, How, folder_of
from gan_jax.job import Job, assemble, shape_of_state
from gan_jax.lock import locked
from gan_jax.loop import Stop, stoppable
from gan_jax.plan import Group, Member, groups_of, members_of
from gan_jax.population import BACKENDS, Population
from gan_jax.record import columns, read_config, write_hparams
from gan_jax.sampling import POINTER
from gan_jax.settings import Setting
from gan_jax.train import DONE, INTERRUPTED, say

TRIAL = 3  # steps that each backend is timed for, at most a chunk
PLAN = "sweep.json"


def backends() -> list[str]:
    """The backends that this machine's devices allow."""
    spread = len(jax.local_devices()) > 1
    return [name for name, row in BACKENDS.items() if row.spread <= spread]


def fastest(job: Job, members: list[ConfigDict]) -> str:
    """The backend that takes the fewest seconds for a few steps, compiling left out."""
    took = {}
    for name in backends():
        population = Population(job, members, name)
        states, _ = population.chunk(population.init(), 0, 1)
        jax.block_until_ready(states)
        begin = time.perf_counter()
        n = min(TRIAL, job.config.scan_steps)
        jax.block_until_ready(population.chunk(states, 1, n)[0])
        took[name] = time.perf_counter() - begin
    return min(took, key=took.get)


class Options(NamedTuple):
    """backend: a row of BACKENDS, or auto. most: members of a group, 0 any number. alone: what trains the config itself."""

    backend: str = "auto"
    most: int = 0
    alone: str = "python launch.py"


class Sweep:
    """A planned sweep: its folder, its base config and command, its groups, and the backend that is asked for."""

    def __init__(
        self,
        config: ConfigDict,
        settings: list[Setting],
        workdir: str | Path,
        command: str,
        options: Options,
    ):
        """Plan it, and compare with what the folder holds. Raises UserError for what the user has to mend."""
        self.workdir, self.command, self.options = Path(workdir), command, options
        if config.eval.patience:
            raise ConfigError(
                f"eval.patience is {config.eval.patience}, and members of a sweep go on together: set it to 0"
            )
        self.members = members_of(config, settings)
        self.groups = groups_of(self.members, options.most)
        self.fields = list(dict.fromkeys(name for s in settings for name in s))
        self.taken = [""] * len(self.groups)  # each group's backend
        self.check_same()

    def check_same(self) -> None:
        """Take over the backends of the folder's plan. Raises ConfigError if it is of another sweep."""
        path = self.workdir / PLAN
        if (self.workdir / "config.json").is_file():
            raise ConfigError(
                f"{self.workdir} holds a single run: choose another --workdir"
            )
        if not path.is_file():
            return
        old, new = json.loads(path.read_text()), self.plan()
        if old["members"] != new["members"]:
            raise ConfigError(
                f"{self.workdir} holds another sweep ({len(old['members'])} members over {', '.join(old['fields'])}); "
                "go on with its settings, or choose another --workdir"
            )
        for one in self.members:
            there = folder_of(self.workdir, one)
            if (there / "config.json").is_file():
                differs = configs.changes(read_config(there)["config"], one.config)
                if differs:
                    raise ConfigError(
                        f"{there} was trained with another config: {'; '.join(differs)}; choose another --workdir"
                    )
        self.taken = [group["backend"] for group in old["groups"]]

    def plan(self) -> dict[str, Any]:
        """What sweep.json holds."""
        members = [
            {"name": m.name, "group": i, "index": j, "setting": m.setting}
            for i, group in enumerate(self.groups)
            for j, m in enumerate(group)
        ]
        groups = [
            {"backend": backend, "members": len(group)}
            for backend, group in zip(self.taken, self.groups, strict=True)
        ]
        head = {"command": self.command, "fields": self.fields}
        return head | {
            "members": sorted(members, key=lambda m: m["name"]),
            "groups": groups,
        }

    def write_plan(self) -> None:
        """Write sweep.json."""
        text = json.dumps(self.plan(), indent=1)
        write_atomic(self.workdir / PLAN, text.encode())

    def describe(self) -> str:
        """The plan in words: groups, members, compiled programs."""
        lines = [
            f"{len(self.members)} members in {len(self.groups)} group(s), one compiled program each, over "
            f"{', '.join(self.fields)}"
        ]
        for i, group in enumerate(self.groups):
            job = assemble(group[0].config)
            size = sum(
                np.prod(x.shape) * 4 for x in jax.tree.leaves(shape_of_state(job))
            )
            lines.append(
                f"  group {i}: {len(group)} members ({group[0].name} to {group[-1].name}), {configs_of(job)}, "
                f"{len(group) * size / 2**20:.1f} MiB of states"
            )
        return "\n".join(lines)

    def run(self) -> int:
        """Train all groups that are not finished; the exit code: 0, or 75 after a signal."""
        with locked(self.workdir), stoppable() as stop:
            self.write_plan()
            for number, group in enumerate(self.groups):
                if not self.run_group(number, group, stop):
                    self.write_results()
                    say(f"interrupted, saved. Resume with:\n  {self.command}")
                    return INTERRUPTED
                self.write_results()
        self.write_board()
        say(
            f"done: {len(self.members)} members. Numbers: {self.workdir}/results.csv\n"
            f"Look at it:  python launch.py report --workdir={self.workdir}"
        )
        return DONE

    def run_group(self, number: int, group: Group, stop: Stop) -> bool:
        """Train one group; whether it is finished."""
        saved = Checkpoints(self.workdir / "groups" / str(number) / "checkpoints")
        if (saved.latest() or 0) >= group[0].config.steps:
            return True
        job = assemble(group[0].config)
        if not self.taken[number]:
            asked = self.options.backend
            chosen = (
                fastest(job, [m.config for m in group]) if asked == "auto" else asked
            )
            self.taken[number] = chosen
            self.write_plan()
        backend = self.taken[number]
        say(
            f"group {number + 1} of {len(self.groups)}: {len(group)} members, {backend}"
        )
        how = How(backend, self.options.alone)
        return Herd(number, group, job, self.workdir, how).run(stop)

    def write_results(self) -> None:
        """Write results.csv from the members' folders."""
        rows = [self.result(one) for one in self.members]
        names = list(dict.fromkeys(name for row in rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_atomic(self.workdir / "results.csv", text.getvalue().encode())

    def write_board(self) -> None:
        """TensorBoard's HParams view of all members' last values."""
        table = {}
        for one in self.members:
            row = self.result(one)
            values = {k: v for k, v in row.items() if k not in {"member", *one.setting}}
            table[one.name] = (one.setting, values)
        write_hparams(self.workdir / "tensorboard", table)

    def result(self, one: Member) -> dict[str, Any]:
        """A member's line of results.csv."""
        folder = folder_of(self.workdir, one)
        table = columns(folder / "metrics.jsonl")
        step = table["step"][-1] if table else 0
        steps = one.config.steps
        row: dict[str, Any] = {"member": one.name, **one.setting}
        pointer = folder / POINTER
        said = json.loads(pointer.read_text()) if pointer.is_file() else {}
        if said.get("halted_at") is not None:
            status, step = "diverged", said["halted_at"]
        else:
            status = "done" if step == steps else "running"
        row |= {"status": status, "step": step}
        for name, column in table.items():
            if name not in ("step", "seconds"):
                row[f"final/{name}"] = column[-1]
        best = best_of(folder, one.config.eval.best)
        if best is not None:
            row[f"best/{best.metric}"] = best.value
        return row


def configs_of(job: Job) -> str:
    """A group's network, loss and data in words."""
    config = job.config
    return f"{config.model.name}, loss {config.loss}, {job.dataset.name}"
