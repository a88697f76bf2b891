"""Training goes on while what it left is written: in order, nothing lost, the same bytes as if it had waited."""

import collections
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace

import jax
import numpy as np
import pytest

from gan_jax import config, job, parallel
from gan_jax.background import ROOM, Abandoned, Background
from gan_jax.cli import main
from gan_jax.job import assemble, make_runner, shape_of_state
from gan_jax.loop import copied
from gan_jax.record import columns
from gan_jax.stop import Stop
from gan_jax.training import Flight, Training
from gan_jax.types import Pair, TrainState
from tests.test_train import RING, ROOT, outcome

LONG = 60  # seconds after which something that must come has not


# The thread


@pytest.fixture
def thread():
    """A background thread that has ended when the test has."""
    made = Background()
    yield made
    made.close(finish=False)


def test_jobs_are_done_in_order_in_another_thread(thread):
    done = []
    for i in range(3 * ROOM):
        thread.do(lambda i=i: done.append((i, threading.get_ident())))
    thread.wait()
    assert [i for i, _ in done] == [*range(3 * ROOM)]
    assert threading.get_ident() not in {who for _, who in done}


def test_the_giver_does_not_wait(thread):
    gate = threading.Event()
    job = thread.do(gate.wait, LONG)
    assert not job.done()
    gate.set()
    thread.wait()
    assert job.done()


def test_a_failure_is_raised_and_nothing_is_done_behind_it(thread):
    gate, done, error = threading.Event(), [], OSError(28, "No space left", "x")

    def fail():
        gate.wait(LONG)
        raise error

    thread.do(fail)
    thread.do(done.append, 1)
    gate.set()
    for ask in (thread.wait, thread.check, lambda: thread.do(done.append, 2)):
        with pytest.raises(OSError) as caught:
            ask()
        assert caught.value is error
    thread.close()
    assert done == []


def test_closing_finishes_what_is_left():
    thread, done = Background(), []
    for i in range(9):
        thread.do(done.append, i)
    thread.close()
    assert done == [*range(9)]


def test_closing_at_once_drops_what_is_left_and_ends_a_long_job():
    thread, begun, done = Background(), threading.Event(), []

    def endless():
        begun.set()
        while True:
            thread.heed(1)

    thread.do(endless)
    thread.do(done.append, 1)
    assert begun.wait(LONG)
    thread.close(finish=False)
    assert done == []
    with pytest.raises(Abandoned):
        thread.check()


# The order of dispatches


class Number(float):
    """A loss that says when it is read, as a device's is waited for."""

    said: list

    def __float__(self):
        self.said.append(("landed", int(self.real)))
        return 0.0


def at(step):
    """A state of which nothing but its step is looked at."""
    return TrainState(step, None, Pair(None, None), None, {}, {}, np.bool_(False))


class Fake(Training):
    """A run on a device that keeps account; chunks have one step."""

    def __init__(self, steps, depth, patience=0):
        c = config.load(f"{ROOT}/configs/ring_plain.py:smoke")
        values = {"steps": steps, "log_every": 1, "scan_steps": 1}
        values |= {"sample_every": 0, "checkpoint_every": 0, "eval.patience": patience}
        for name, value in (values | {"eval.every": 2 * bool(patience)}).items():
            config.override(c, name, value)
        self.said = []
        runner = parallel.Runner(self.advance, None, self.feed)
        super().__init__(assemble(c), runner, at(0))
        self.depth = depth

    def feed(self, rows, capacity):
        self.said.append(("fed", self.step + 1))

    def advance(self, state, feed, n):
        step = state.step + int(n)
        self.said.append(("dispatched", step))
        loss = Number(step)
        loss.said = self.said
        metrics = {"loss/disc": loss, "loss/gen": 0.0}
        return at(step), metrics

    def write(self, flight):
        self.said.append(("written", flight.step))


def test_the_next_chunk_is_gathered_and_dispatched_before_the_last_is_waited_for():
    run = Fake(steps=5, depth=1)
    run.run(Stop())
    place = {what: i for i, what in enumerate(run.said)}
    for step in range(2, 5):  # the first one compiles, and is waited for
        assert place["fed", step + 1] < place["dispatched", step + 1]
        assert place["dispatched", step + 1] < place["landed", step]
        assert place["landed", step] < place["written", step]
    assert [s for what, s in run.said if what == "written"] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("depth, patience", [(0, 0), (1, 3)])
def test_where_order_matters_each_chunk_is_written_before_the_next(depth, patience):
    """Devices that crowd a machine; evaluations (of the even steps) that may end the run."""
    run = Fake(steps=6, depth=depth, patience=patience)
    run.run(Stop())
    place = {what: i for i, what in enumerate(run.said)}
    for step in (2, 4):
        assert place["written", step] < place["dispatched", step + 1]


def test_a_halted_chunk_is_not_written():
    run = Fake(steps=9, depth=1)
    metrics = {"loss/disc": 0.0, "loss/gen": 0.0}
    flights = [Flight(s, 1, metrics | {"s": s}, s > 2, None) for s in (1, 2, 3, 4)]
    run.flying = collections.deque(flights)
    assert [f.step for f in run.land(0)] == [1, 2]
    assert run.halted and run.metrics["s"] == 3


# Whole runs


SMALL = [
    *RING,
    "--config.batch_size=16",
    "--config.model.width=8",
    "--config.steps=40",
    "--config.log_every=1",
    "--config.monitor=false",
    "--config.sample_every=10",
    "--config.checkpoint_every=10",
    "--config.eval.every=10",
    "--config.eval.n=100",
    "--config.eval.metrics=modes,fd",
]
# an evaluation that waits until training has gone on; or the second one fails
PROGRAM = """
import json, sys, threading
from gan_jax.cli import main
from gan_jax.evaluation import Evaluator
from gan_jax.loop import Loop
from gan_jax.checkpoint import Checkpoints
kind, folder, words = sys.argv[1], sys.argv[2], sys.argv[3:]
rows, run, dispatch = Evaluator.rows, Loop.run, Loop.dispatch
gone, seen, step = threading.Condition(), [], [0]
def further(loop, most):
    landed = dispatch(loop, most)
    with gone:
        step[0] = loop.step
        gone.notify_all()
    return landed
def measure(evaluator, at, *more):
    if kind == "full" and at == 20:
        raise OSError(28, "No space left on device", "eval.jsonl")
    with gone:
        met = gone.wait_for(lambda: step[0] > min(at, 39), 60)
    seen.append([at, met, Checkpoints(folder + "/checkpoints").steps()])
    return rows(evaluator, at, *more)
Evaluator.rows, Loop.dispatch = measure, further
code = main([*words, "--workdir=" + folder])
print(json.dumps([code, seen]))
"""


def run_alone(kind, folder, *more):
    """A run on one device: (exit code, what its evaluations saw, stderr)."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, kind, str(folder), *SMALL, *more],
        cwd=ROOT,
        env={**os.environ, "XLA_FLAGS": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return *json.loads(done.stdout), done.stderr


@pytest.fixture(scope="module")
def overlapped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("overlapped")
    code, seen, text = run_alone("held", folder)
    assert code == 0, text
    return folder, seen


def test_training_goes_on_and_no_checkpoint_overtakes_an_evaluation(overlapped):
    _, seen = overlapped
    assert [at for at, _, _ in seen] == [10, 20, 30, 40]
    for at, went_on, saved in seen:
        assert went_on, f"training waited for the evaluation of step {at}"
        assert all(step < at for step in saved)


def test_it_leaves_what_a_run_leaves_that_waits(overlapped, tmp_path):
    """With patience each evaluation is waited for."""
    words = [sys.executable, "launch.py", *SMALL, "--config.eval.patience=1000"]
    done = subprocess.run(
        [*words, f"--workdir={tmp_path}"],
        cwd=ROOT,
        env={**os.environ, "XLA_FLAGS": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert outcome(tmp_path) == outcome(overlapped[0])


def test_a_failure_in_the_background_is_said_and_the_run_resumes(overlapped, tmp_path):
    code, _, text = run_alone("full", tmp_path)
    assert code == 2 and text.strip().endswith(
        "error: eval.jsonl: No space left on device; free space or choose another "
        "folder, then give the same command again"
    )
    assert "Traceback" not in text
    rows = columns(tmp_path / "eval.jsonl")
    assert set(rows["step"]) == {10}
    assert [p.name for p in (tmp_path / "checkpoints").glob("[0-9]*")] == ["10"]
    code, seen, text = run_alone("held", tmp_path)
    assert code == 0 and [at for at, _, _ in seen] == [20, 30, 40], text
    assert outcome(tmp_path) == outcome(overlapped[0])


def test_patience_ends_a_run_on_the_same_step_however_steps_are_grouped(
    tmp_path, capsys
):
    said = set()
    for scan in (1, 5, 8):
        words = [*SMALL, "--config.steps=400", "--config.eval.patience=2"]
        more = [f"--config.scan_steps={scan}", f"--workdir={tmp_path / str(scan)}"]
        assert main([*words, "--config.optim.gen.lr=0.1", *more]) == 0
        text = capsys.readouterr().err
        said.add(text[text.index("stopped early at step") :].splitlines()[0])
    assert len(said) == 1
    first, *others = (outcome(tmp_path / str(scan)) for scan in (1, 5, 8))
    assert all(other == first for other in others)


def test_a_copy_outlives_what_it_was_made_of():
    tree = {"x": jax.numpy.arange(3.0), "key": jax.random.key(7)}
    copy = copied(tree)
    jax.tree.map(lambda x: x.delete(), tree)
    assert np.array_equal(copy["x"], [0, 1, 2])
    assert np.array_equal(jax.random.key_data(copy["key"]), [0, 7])


# Where the data live


@pytest.mark.parametrize("how", ["jit", "pmap"])
def test_data_live_on_a_device_where_they_fit_beside_the_program(monkeypatch, how):
    c = config.load(f"{ROOT}/configs/ring_plain.py:smoke")
    for name, value in {"batch_size": 8, "model.width": 8, "scan_steps": 2}.items():
        config.override(c, name, value)
    config.override(c, "parallel", how)
    this = assemble(c)
    # without the labels, which the recipe does not read and jax 0.12 takes out of its program
    this = replace(this, dataset=this.dataset._replace(labels=None))
    need, size = [], job.nbytes(job.table_of(this.dataset))
    monkeypatch.setattr(job.jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(job, "check_capacity", lambda *_: None)

    def room_is(room):
        monkeypatch.setattr(job, "free_bytes", lambda devices: room)
        runner = make_runner(this)
        feed = runner.feed(np.zeros((1, 1, 8), np.int32), 2)
        return runner, feed, isinstance(feed, tuple) and len(feed) == 2

    def note(compiled, taken=job.taken):
        need.append(taken(compiled))
        return need[-1]

    monkeypatch.setattr(job, "taken", note)
    runner, feed, resident = room_is(2**40)
    assert resident and need[0] > size
    state = runner.place(this.first(np.uint32(0)))
    after, metrics = runner.chunk(state, feed, np.int32(1))
    assert int(after.step) == 1 and shape_of_state(this).step.shape == ()
    assert [room_is(need[0] + more)[2] for more in (0, -1)] == [True, False]
    asked = len(need)
    assert not room_is(size)[2] and len(need) == asked  # no need to compile it
    assert not room_is(sys.maxsize)[2]  # a device that does not tell
