"""Train a run, or go on with it: the same call does both."""

import json
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from gan_jax import config as configs
from gan_jax import hosts
from gan_jax.checkpoint import Checkpoints
from gan_jax.config import ConfigError
from gan_jax.data import Dataset
from gan_jax.evaluation import Evaluator
from gan_jax.job import Job, assemble, make_runner, repeatable, shape_of_state
from gan_jax.lock import locked
from gan_jax.loop import Loop, copied
from gan_jax.parallel import Runner
from gan_jax.record import Record, read_config, versions
from gan_jax.rows import check_saved
from gan_jax.saved import POINTER
from gan_jax.stop import stoppable
from gan_jax.training import Training
from gan_jax.types import TrainState

DONE, DIVERGED, INTERRUPTED = 0, 3, 75
SKIPPED = 20  # pictures left out that config.json names


def say(text: str) -> None:
    """A line for the person at the terminal; standard output stays free for results."""
    print(text, file=sys.stderr, flush=True)


def check_same_run(workdir: Path, job: Job) -> None:
    """Raise ConfigError with a diff when the folder holds a run of another config or other data."""
    for name, what in ((POINTER, "a member of a sweep"), ("sweep.json", "a sweep")):
        if (workdir / name).is_file():
            raise ConfigError(
                f"{workdir} is {what}: go on with the sweep's command, or choose another --workdir"
            )
    if not (workdir / "config.json").is_file():
        return
    old = read_config(workdir, ["digest"])
    differs = configs.changes(old["config"], job.config)
    if old["data"]["digest"] != job.dataset.digest:
        differs.append(
            f"data: {old['data']['digest'][:12]} -> {job.dataset.digest[:12]} (sha256)"
        )
    if differs:
        lines = "\n  ".join(differs)
        raise ConfigError(
            f"{workdir} holds a run with another config:\n  {lines}\n"
            "go on with the old values, or choose another --workdir"
        )


def begin(
    job: Job, runner: Runner, saved: Checkpoints | None, newest: int | None
) -> TrainState:
    """The state to start from, on the devices: that of the verified step `newest`, else the first one.

    saved: None where another process has the checkpoints.
    """
    if newest is not None:
        shapes = shape_of_state(job)
        state = saved.load(newest, shapes, job.hyper) if saved else shapes
        return runner.place(hosts.share(state))
    return runner.place(job.first(np.uint32(job.config.seed)))


def describe(job: Job, step: int) -> str:
    """One line on what is about to run."""
    config, data = job.config, job.dataset
    shape = "x".join(map(str, data.images.shape[1:]))
    devices, count = jax.devices(), hosts.count()
    where = f"{len(devices)} {devices[0].platform} device(s)" + (
        f" of {count} processes" if count > 1 else ""
    )
    what = f"{config.model.name}, loss {config.loss}, {data.name} ({len(data.images):,} of {shape})"
    return f"{what}, {where}, from step {step:,} to {config.steps:,}"


def machine_facts() -> dict[str, Any]:
    """What config.json says of the devices."""
    device, count = jax.devices()[0], jax.device_count()
    plural = "s" if count > 1 else ""
    kind = f"{device.platform} ({device.device_kind})"
    return {"devices": f"{count} {device.platform} device{plural}", "kind": kind}


def say_what_changed(workdir: Path) -> None:
    """Say which versions and devices are not those that the run in the folder was trained with."""
    if not (workdir / "config.json").is_file():
        return
    old, machine = read_config(workdir), machine_facts()
    before = {**old.get("versions", {}), **old.get("machine", {})}
    changed = [
        f"{'' if name in machine else name + ' '}{before[name]} -> {value}"
        for name, value in {**versions(), **machine}.items()
        if before.get(name, value) != value
    ]
    if changed:
        say(
            f"NOTE: {', '.join(changed)}: the same data order and noise as before (parallel=jit), numbers that are "
            "close at first, and not the same bytes"
        )


def data_facts(dataset: Dataset) -> dict[str, Any]:
    """What config.json says of the data."""
    return {
        "name": dataset.name,
        "digest": dataset.digest,
        "shape": list(dataset.images.shape[1:]),
        "source_shape": list(dataset.source_shape),
        "paired": dataset.paired,
        "examples": len(dataset.images),
        "label_names": list(dataset.label_names),
        "skipped": len(dataset.skipped),
        "skipped_first": list(dataset.skipped[:SKIPPED]),
    }


def train(
    config: ConfigDict, workdir: str | Path, command: str, strict: bool = False
) -> int:
    """Run a validated config in its folder and return the exit code (0 done, 3 diverged, 75 interrupted).

    `command` is the line that started it; the same line resumes. strict: refuse a folder whose newest checkpoint is
    damaged, where otherwise the newest good one is taken. Raises UserError, FolderInUse or
    CheckpointError for what the user has to mend; nothing is written before those are checked.
    """
    repeatable(config)
    job = assemble(config)
    what = json.dumps(config.to_dict(), sort_keys=True) + job.dataset.digest
    hosts.same(what, "the config or the data")
    runner = make_runner(job)
    if not hosts.leads():
        return follow(job, runner)
    evaluator = Evaluator(config, job.dataset) if config.eval.every else None
    folder = Path(workdir)
    with locked(folder):
        check_same_run(folder, job)
        saved = Checkpoints(folder / "checkpoints")
        newest = agreed(saved.find(strict))
        if newest is not None and newest >= config.steps:
            say(
                f"{folder} is finished at step {newest:,}; to train on: --config.steps={2 * newest}"
            )
            return DONE
        if newest is None:
            check_saved(folder)
        state = begin(job, runner, saved, newest)
        step = newest or 0
        record = Record(folder)
        record.truncate(step)
        record.check_tail(step)
        if newest is not None:
            say_what_changed(folder)
        facts = data_facts(job.dataset), machine_facts()
        record.write_config(config.to_dict(), command, *facts)
        say(describe(job, step))
        return run(Loop(job, runner, state, record, saved, evaluator), command)


def agreed(newest: int | None) -> int | None:
    """The step from which the first process goes on, on all of them."""
    step = int(hosts.agree([-1 if newest is None else newest])[0, 0])
    return None if step < 0 else step


def follow(job: Job, runner: Runner) -> int:
    """What a process does beside the one that writes: the same chunks. Returns the same exit code."""
    newest = agreed(None)
    if newest is not None and newest >= job.config.steps:
        return DONE
    training = Training(job, runner, begin(job, runner, None, newest))
    with stoppable() as stop, hosts.watched():
        training.run(stop)
    if training.halted:
        return DIVERGED
    return INTERRUPTED if training.stopped else DONE


def run(loop: Loop, command: str) -> int:
    """Run the loop to its end, save, and say what happened."""
    with stoppable() as stop, hosts.watched(loop.thread.wait):
        try:
            if loop.step == 0 and loop.job.config.sample_every:
                loop.picture(0, copied(loop.own()))
            loop.run(stop)
            loop.bar.close()
            loop.finish()
        except BaseException as error:
            # what is being written counts nevertheless; a second Ctrl-C waits for a save at most
            loop.thread.close(finish=not isinstance(error, KeyboardInterrupt))
            raise
    folder = loop.record.workdir
    if loop.halted:
        say(
            f"diverged at step {loop.step + 1:,}: {loop.culprit}; the last good step {loop.step:,} is saved in "
            f"{folder}.\nLower optim.disc.lr and optim.gen.lr, or add "
            "--config.penalty.r1=1, in a new --workdir."
        )
        return DIVERGED
    if loop.step < loop.job.config.steps and loop.hopeless:
        best = loop.best
        say(
            f"stopped early at step {loop.step:,}: {best.since} evaluations without a better {best.metric} than "
            f"{best.value:.6g} at step {best.step:,}; to train on: --config.eval.patience=0"
        )
        return DONE
    if loop.step < loop.job.config.steps:
        say(f"interrupted at step {loop.step:,}, saved. Resume with:\n  {command}")
        return INTERRUPTED
    say(
        f"done: {loop.step:,} steps. Pictures: {folder}/samples, numbers: {folder}/metrics.jsonl\n"
        f"Sample it:  python launch.py sample --workdir={folder} --n=64 --out=grid.png"
    )
    return DONE
