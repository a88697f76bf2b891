"""What is around the steps, each measured in processes or runs of its own: the start, the memory, what a run writes.

    python -m benchmarks.around memory CASE BATCH WIDTH PRECISION WAY
    python -m benchmarks.around phases BEGAN CONFIG

are the processes that `memory` and `start` start; each prints one line of JSON.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import cases
from benchmarks.timing import TORCH, Plan, Row, Way, interleaved, rows_of
from benchmarks.ways import LOOP, TORCH_WAYS
from gan_jax import cli
from gan_jax import config as configs
from gan_jax.checkpoint import Checkpoints
from gan_jax.chunk import make_chunk, streamed
from gan_jax.compiled import keep_compiled
from gan_jax.job import Job, assemble, make_runner
from gan_jax.job import rows_of as indices_of
from gan_jax.loop import Loop
from gan_jax.parallel import Runner
from gan_jax.record import Record
from gan_jax.step import make_step
from gan_jax.train import begin
from gan_jax.types import TrainState

Jobs = Iterator[Callable[[], list[Row]]]
MIB = 2**20
LOOK = "monitors"
CONFIG, NEVER = "configs/dcgan_fashion.py", 10**9  # steps that no run comes to
SELF = sys.executable, "-m", "benchmarks.around"
PHASES = "import", "data", "first state", "compile", "first step"


def start(plan: Plan) -> Jobs:
    """From the start of the process to the end of the first step of configs/dcgan_fashion.py, and in what phases."""
    yield partial(start_rows, plan)


def start_rows(plan: Plan) -> list[Row]:
    """A new folder for compiled programs in each round: the first process finds it empty, the second full."""
    config = CONFIG + (":smoke" if plan.quick else "")
    whole, parts = {}, {phase: {} for phase in PHASES}
    for _ in range(plan.rounds):
        for measure in (to_first_row, phases_of):
            with tempfile.TemporaryDirectory() as folder:
                for way in ("cold", "warm"):
                    told = measure(config, cached_in(folder))
                    if measure is to_first_row:
                        whole.setdefault(way, []).append(told)
                        continue
                    for phase, took in told.items():
                        parts[phase].setdefault(way, []).append(took)
    cases = {"launch.py, to its first row": whole, **parts}
    return [
        row
        for case, values in cases.items()
        for row in rows_of("start", case, values, unit="s")
    ]


def cached_in(folder: str) -> dict[str, str]:
    """An environment in which compiled programs are kept there, and nowhere else."""
    told = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    return {**told, "GAN_JAX_CACHE": folder}


def to_first_row(config: str, env: dict[str, str]) -> float:
    """Seconds from the start of launch.py until its first step's row is on the disk."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "launch.py", f"--config={config}"]
        command += ["--config.log_every=1", f"--workdir={folder}/run"]
        path, began = Path(folder, "run/metrics.jsonl"), time.perf_counter()
        process = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
        try:
            while not (path.is_file() and path.stat().st_size):
                if process.poll() not in (None, 0):
                    raise RuntimeError(f"launch.py ended with {process.returncode}")
                time.sleep(0.002)
            return time.perf_counter() - began
        finally:
            process.kill()
            process.wait()


def phases_of(config: str, env: dict[str, str]) -> dict[str, float]:
    """Seconds of each phase of a start."""
    return child(["phases", str(time.time()), config], env)


def child(words: list[str], env: dict[str, str] | None = None) -> Any:
    """What a process of this file prints as its last line. Raises CalledProcessError."""
    done = subprocess.run([*SELF, *words], env=env, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def phases(began: str, config: str) -> dict[str, float]:
    """In a new process: the phases of its start, as launch.py goes through them."""
    marks = [float(began)]

    def mark() -> None:
        marks.append(time.time())

    cli.make_parser("train")
    keep_compiled()
    mark()
    job = assemble(configs.loaded(config, []))
    mark()
    runner = make_runner(job)
    state = jax.block_until_ready(begin(job, runner, None, None))
    mark()
    room = job.config.scan_steps
    feed = runner.feed(indices_of(job, 0, 0, 1), room)
    run = runner.chunk.lower(state, feed, np.int32(1)).compile()
    mark()
    jax.block_until_ready(run(state, feed, np.int32(1)))
    mark()
    return dict(zip(PHASES, np.diff(marks).tolist(), strict=True))


def memory(plan: Plan) -> Jobs:
    """Peak memory of training each case, a process each: resident on a CPU, of the device on a GPU."""
    names = plan.cases or (("ring", "dcgan28") if plan.quick else tuple(cases.CASES))
    for name in names:
        batch, *_ = cases.BATCHES[plan.suite].get(name, (64,))
        yield partial(memory_rows, plan, name, plan.size(batch))


def memory_rows(plan: Plan, name: str, batch: int) -> list[Row]:
    """One case of `memory`, its first batch of `step`."""
    precision = "float32"
    ways = {"gan_jax, in its loop": "ours"}
    if TORCH:
        ways = {f"PyTorch, {x}": x for x in TORCH_WAYS[precision][:2]} | ways
    words = ["memory", name, str(batch), str(plan.width), precision]
    told = {title: child([*words, way]) for title, way in ways.items()}
    peaks = {title: [x["peak"]] for title, x in told.items()}
    facts = {"unit": "MiB", "batch": batch, "precision": precision}
    return [
        replace(row, note=told[row.way]["note"])
        for row in rows_of("memory", name, peaks, **facts)
    ]


def peak_memory(
    name: str, batch: str, width: str, precision: str, way: str
) -> dict[str, Any]:
    """In a new process: the peak in MiB of two steps, compiled before, and a note on it."""
    setting = cases.setting(name, int(batch), int(width), precision)
    state = cases.first(setting)
    run, note = (our_steps if way == "ours" else their_steps)(setting, state, way)
    gpu = jax.default_backend() == "gpu"
    before = of_process("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    device = run()
    if gpu:
        return {"peak": device / MIB, "note": note}
    return {
        "peak": of_process("VmHWM"),
        "note": f"{note}{before:.0f} MiB before the first step",
    }


def of_process(name: str) -> float:
    """A size of /proc/self/status in MiB."""
    text = Path("/proc/self/status").read_text()
    return int(re.search(rf"{name}:\s+(\d+) kB", text)[1]) / 1024


def our_steps(setting: Any, state: Any, _: str) -> tuple[Callable[[], float], str]:
    """Two steps in the loop: a function that gives the device's peak in bytes, and the compiler's own count."""
    step = make_step(setting.recipe, setting.nets)
    chunk = jax.jit(make_chunk(step, streamed), donate_argnums=0)
    feed = jax.device_put(cases.examples(setting, LOOP))
    program = chunk.lower(state, feed, np.int32(2)).compile()
    temp = program.memory_analysis().temp_size_in_bytes / MIB

    def run() -> float:
        jax.block_until_ready(program(state, feed, np.int32(2)))
        stats = jax.local_devices()[0].memory_stats() or {}
        return stats.get("peak_bytes_in_use", 0)

    return run, f"temporary {temp:.0f} MiB; "


def their_steps(setting: Any, state: Any, way: str) -> tuple[Callable[[], float], str]:
    """As `our_steps`, of a twin in PyTorch."""
    import torch

    from benchmarks import twins

    twin = twins.twin(setting, state, way)

    def run() -> float:
        for _ in range(2):
            twin.step(*twin.draw())
        twin.sync()
        return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0

    return run, ""


class Part(Loop):
    """A run that trains a part at a time; it is its own signal to stop."""

    target = 0

    @property
    def requested(self) -> bool:
        return self.step >= self.target

    def next_stop(self) -> int:
        return min(super().next_stop(), self.target - self.step)

    def show(self, *_: Any) -> None:
        """No bar."""

    def more(self, steps: int) -> None:
        """Train so many steps on, until all that they write is on the disk."""
        self.target += steps
        self.run(self)
        self.thread.wait()


def overhead(plan: Plan) -> Jobs:
    """A run of configs/dcgan_fashion.py, 8 wide, time a step: nothing written, and what each thing written adds."""
    yield partial(overhead_rows, plan)


def overhead_rows(plan: Plan) -> list[Row]:
    """One program for all; each way has a run folder of its own."""
    often, steps = plan.size(100, 10), plan.size(1000, 20)
    written = {  # way -> cadences, TensorBoard
        "nothing written": ({}, False),
        "log_every=1": ({"log_every": 1}, False),
        "log_every=1, TensorBoard": ({"log_every": 1}, True),
        f"log_every={often}": ({"log_every": often}, False),
        f"log_every={often}, TensorBoard": ({"log_every": often}, True),
        f"log_every={often}, TensorBoard, {LOOK}": ({"log_every": often}, True),
        f"sample_every={often}": ({"sample_every": often}, False),
        f"checkpoint_every={often}": ({"checkpoint_every": often}, False),
    }
    changes = [("model.width", "8"), ("batch_size", str(plan.size(32)))]
    config = configs.loaded(CONFIG, [*changes, ("steps", str(NEVER))])
    job = assemble(config)
    full = make_runner(job)
    bare, state = full._replace(look=None), begin(job, full, None, None)
    with tempfile.TemporaryDirectory() as folder:
        runs = {
            way: part(
                job, full if LOOK in way else bare, state, Path(folder, str(i)), *row
            )
            for i, (way, row) in enumerate(written.items())
        }
        runs["as its config has it"] = part(job, full, state, Path(folder, "own"), None)
        ways = {way: Way(partial(run.more, steps), steps) for way, run in runs.items()}
        values = interleaved(ways, replace(plan, quick=True))
        for run in runs.values():
            run.record.close()
    rows = rows_of("overhead", "dcgan_fashion, width 8", values)
    return [replace(row, note=f"{100 / row.ratio - 100:+.1f} %") for row in rows]


def part(
    job: Job,
    runner: Runner,
    state: TrainState,
    folder: Path,
    cadences: dict[str, int] | None,
    board: bool = True,
) -> Part:
    """A run that writes at these cadences and no others; None: at those of its config."""
    config = job.config.copy_and_resolve_references()
    if cadences is not None:
        names = "log_every", "sample_every", "checkpoint_every"
        config.update({**dict.fromkeys(names, NEVER), **cadences})
    job = replace(job, config=config)
    saved = Checkpoints(folder / "checkpoints")
    state = jax.tree.map(jnp.copy, state)  # the first chunk takes it
    return Part(job, runner, state, Record(folder, board), saved)


CHILDREN = {"memory": peak_memory, "phases": phases}


if __name__ == "__main__":
    print(json.dumps(CHILDREN[sys.argv[1]](*sys.argv[2:])))
