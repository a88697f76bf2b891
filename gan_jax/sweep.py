"""A sweep: groups of members trained by one program each, every member's rows and pictures in a run folder of its own.

    sweep.json             the plan: command, fields, members, groups with backend and bytes
    results.csv            setting, status, last and best values of every member
    members/0003/          config.json, metrics.jsonl, eval.jsonl, samples/, member.json: where its weights are
    groups/0/              checkpoints/ with the states of all members of a group, tensorboard/ with their curves
    tensorboard/           HParams of all members

Killed anywhere, the same command goes on: finished groups are not touched, an unfinished one resumes from its last
checkpoint, to the same bytes.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from gan_jax.best import best_of
from gan_jax.checkpoint import Checkpoints
from gan_jax.cluster import Need
from gan_jax.config import ConfigError
from gan_jax.engines import ENGINES
from gan_jax.eval.measures import direction
from gan_jax.evaluation import check_evaluation
from gan_jax.group import Task, measure, train_group
from gan_jax.herd import How
from gan_jax.job import assemble
from gan_jax.plan import (
    Group,
    Plan,
    cut,
    folder_of,
    group_folder,
    groups_of,
    members_of,
)
from gan_jax.results import Results
from gan_jax.settings import Setting, written
from gan_jax.space import Space, Told, proposals
from gan_jax.stop import Stop


class Options(NamedTuple):
    """How a sweep is run.

    how: backend (a row of BACKENDS, or auto), the command of the config alone, halving. memory: GiB of each device that
    a group may take, 0 what is free. most: members of a group, 0 any number. engine: a row of ENGINES. need: what a
    group takes of a cluster.
    """

    how: How
    memory: float = 0.0
    most: int = 0
    engine: str = "local"
    need: Need = Need()


class Sweep:
    """A sweep in its folder: the plan so far, and what has been found."""

    def __init__(
        self,
        config: ConfigDict,
        workdir: str | Path,
        command: str,
        options: Options,
        search: dict[str, Any] | None = None,
    ):
        """Take over what the folder holds. search: what decides proposals. Raises UserError for what is to be mended."""
        self.workdir, self.options, self.config = Path(workdir), options, config
        self.engine = ENGINES[options.engine]
        self.plan = Plan(config, self.workdir, {"command": command, "search": search})
        self.results = Results(self.workdir)

    def check(self, groups: list[Group]) -> None:
        """Raise ConfigError for groups that cannot be trained as it is asked for."""
        compared = self.options.how.halving or self.plan.head["search"]
        for own in (group[0].config.eval for group in groups):
            if own.patience:
                raise ConfigError(
                    f"eval.patience is {own.patience}, and members of a sweep go on together: set it to 0"
                )
            if compared and not own.every:
                raise ConfigError(
                    "members are compared by their evaluations: set --config.eval.every=STEPS"
                )

    def extend(self, settings: list[Setting], stop: Stop) -> None:
        """Plan further members. Raises UserError, having written nothing, for settings that cannot be trained."""
        groups = groups_of(members_of(self.config, settings, len(self.plan.members)))
        self.check(groups)
        for group in groups:
            job = assemble(group[0].config)
            check_evaluation(job.config, job.dataset)
        groups = [part for group in groups for part in cut(group, self.options.most)]
        fits = dict(self.do(measure, self.tasks(groups), stop))
        if len(fits) == len(groups):  # not interrupted
            parts = [cut(group, fits[i].most) for i, group in enumerate(groups)]
            taken = [fits[i].bytes for i, part in enumerate(parts) for _ in part]
            self.plan.add([group for part in parts for group in part], taken)

    def do(self, work: Any, tasks: list[Task], stop: Stop) -> Iterator[tuple[int, Any]]:
        """Have the engine do tasks; (place in `tasks`, result) as they end."""
        return self.engine(work, tasks, stop, self.options.need)

    def tasks(self, groups: list[Group]) -> list[Task]:
        """Groups, numbered from 0, as an engine takes them."""
        path, how, memory = self.workdir.absolute(), *self.options[:2]
        return [Task(path, i, group, how, memory) for i, group in enumerate(groups)]

    def train(self, stop: Stop) -> bool:
        """Train all groups that are not finished; whether all are now."""
        self.check(self.plan.groups)
        self.plan.write()
        tasks, finished = [], 0
        for task in self.tasks(self.plan.groups):
            if newest(task) < task.group[0].config.steps:
                tasks.append(task)
            else:
                self.results.keep(task.group)
        for place, done in self.do(train_group, tasks, stop):
            if done:
                self.results.keep(tasks[place].group)
                finished += 1
            self.plan.write()
            self.results.write(self.plan.members)
        return finished == len(tasks)

    def propose(self, space: Space, trials: int, batch: int, stop: Stop) -> bool:
        """Plan the next proposals of a search, with all their seeds; whether there are any and no signal came."""
        told, up = self.told()
        new = proposals(space, told, up, min(batch, trials - len(told)))
        seeds = [{"seed": seed} for seed in space.seeds] or [{}]
        before = len(self.plan.groups)
        if new:
            self.extend([setting | seed for setting in new for seed in seeds], stop)
        return len(self.plan.groups) > before

    def told(self) -> tuple[Told, bool]:
        """What each setting came to: its best value, mean over seeds, None if one has none; whether more is better."""
        values: dict[str, tuple[Setting, list[float | None]]] = {}
        up = True
        for one in self.plan.members:
            setting = {n: x for n, x in one.setting.items() if n != "seed"}
            best = best_of(folder_of(self.workdir, one), self.config.eval.best)
            diverged = self.results.line(one)["status"] == "diverged"
            _, found = values.setdefault(written(setting), (setting, []))
            found.append(None if best is None or diverged else best.value)
            up = up if best is None else direction(best.metric) > 0
        return [
            (setting, None if None in found else sum(found) / len(found))
            for setting, found in values.values()
        ], up

    def best(self) -> str:
        """The setting of a search that came to the best value, in words."""
        told, up = self.told()
        known = [(value, setting) for setting, value in told if value is not None]
        if not known:
            return "none, all diverged"
        value, setting = (max if up else min)(known, key=lambda pair: pair[0])
        return f"{written(setting)} ({value:.6g})"

    def describe(self) -> str:
        """The plan in words: groups, members, memory, compiled programs."""
        plan = self.plan
        compiled = sum(len(taken) for taken in plan.bytes)
        lines = [
            f"{len(plan.members)} members in {len(plan.groups)} group(s) over {', '.join(plan.fields)}; {compiled} "
            f"program(s) to compile"
        ]
        for i, (group, taken) in enumerate(zip(plan.groups, plan.bytes, strict=True)):
            config = group[0].config
            names = (
                f"{size / 2**20:.1f} MiB on each device ({backend})"
                for backend, size in taken.items()
            )
            lines.append(
                f"  group {i}: {len(group)} members ({group[0].name} to {group[-1].name}), {config.model.name}, loss "
                f"{config.loss}, {config.data.source}: {', '.join(names)}"
            )
        return "\n".join(lines)


def newest(task: Task) -> int:
    """The last step that a group has saved and that verifies, 0 before. Raises CheckpointError as Checkpoints.find."""
    folder = group_folder(task.workdir, task.number)
    return Checkpoints(folder / "checkpoints").find(task.how.strict) or 0
