"""Whole programs in trouble: full and read-only disks, damaged files, two at once, closed pipes, no memory."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import gan_jax
from gan_jax.cli import main
from gan_jax.record import RecordError, columns
from tests.test_record import DAMAGED
from tests.test_train import RING, outcome

ROOT = Path(__file__).parents[1]
WORDS = [
    *RING,
    "--config.batch_size=16",
    "--config.model.width=8",
    "--config.log_every=1",
    "--config.monitor=false",
    "--config.sample_every=50",
    "--config.checkpoint_every=20",
    "--config.steps=100",
]
LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, 2 * (int(sys.argv[1]),))
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""
HUMBLE = """
import ctypes, os, sys
for right in (1, 2, 3):  # root without the rights that pass over those of files
    ctypes.CDLL(None).prctl(24, right, 0, 0, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
SMALL_DISK = """
mount -t tmpfs -o size=$SIZE none "$DISK" || exit 99
python "$@"; echo "code $?"
ls -A "$DISK/run" "$DISK/run/samples" "$DISK/run/checkpoints"
mount -o remount,size=64m "$DISK"
python "$@" && cp -a "$DISK/run" "$OUT"
"""


def program(*command, **options):
    """(exit code, stdout, stderr) of a command, on one device as all runs here."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "XLA_FLAGS": "", **options},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout, done.stderr


def train(folder, *more, before=()):
    """(exit code, stderr) of the training program, started by another one."""
    start = ["-c", *map(str, before)] if before else []
    words = [sys.executable, *start, "launch.py", *WORDS, *more, f"--workdir={folder}"]
    code, _, text = program(*words)
    return code, text


def errors(text):
    return [line for line in text.splitlines() if line.startswith("error: ")]


def halves(folder):
    """What no run may leave: temporary files."""
    return [str(p) for p in folder.rglob("*") if p.name.endswith(".tmp")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run of 100 steps."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    code, text = train(folder)
    assert code == 0, text
    return folder


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """The folder of its first 20 steps."""
    folder = tmp_path_factory.mktemp("begun") / "run"
    code, text = train(folder, "--config.steps=20")
    assert code == 0, text
    return folder


@pytest.fixture(scope="module")
def sizes(whole, begun):
    """Bytes of (the largest file of a checkpoint, 40 rows, 100 rows): limits are set between them."""
    rows = (whole / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    saved = [p for p in (begun / "checkpoints/20").rglob("*") if p.is_file()]
    largest = max(p.stat().st_size for p in saved)
    return largest, sum(map(len, rows[:40])), sum(map(len, rows))


@pytest.fixture
def copy(begun, tmp_path):
    return Path(shutil.copytree(begun, tmp_path / "run"))


def test_a_checkpoint_that_does_not_fit_is_said_and_the_run_resumes(copy, whole, sizes):
    largest, rows, _ = sizes
    assert rows < 0.9 * largest
    limit = (rows + largest) // 2
    # To step 40 only: further rows would not fit either while the save is under way.
    code, text = train(copy, "--config.steps=40", before=(LIMITED, limit))
    assert code == 2 and "Traceback" not in text, text
    (line,) = errors(text)
    assert f"step 40 could not be saved in {copy / 'checkpoints'}" in line
    assert "good steps: [20]" in line and "free space" in line
    assert text.count("TensorBoard is off") == 1, "its file is as large"
    assert halves(copy) == []
    code, text = train(copy)
    assert code == 0, text
    assert outcome(copy)[:2] == outcome(whole)[:2]


def test_a_row_that_does_not_fit_is_said_and_the_run_resumes(copy, whole, sizes):
    largest, _, rows = sizes
    limit = 4 * rows // 5
    assert largest < 0.9 * limit
    code, text = train(copy, before=(LIMITED, limit))
    assert code == 2 and "Traceback" not in text, text
    (line,) = errors(text)
    assert f"{copy / 'metrics.jsonl'}: File too large; " in line and "ulimit" in line
    steps = columns(copy / "metrics.jsonl")["step"]
    assert steps == list(range(1, len(steps) + 1)) and 60 < len(steps) < 100
    assert (copy / "checkpoints/60/manifest.json").exists() and halves(copy) == []
    code, text = train(copy)
    assert code == 0 and "LOST" not in text, text
    assert outcome(copy)[:2] == outcome(whole)[:2]


def test_a_full_disk_is_said_and_the_run_resumes(whole, tmp_path):
    (tmp_path / "disk").mkdir()
    space = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-U", "-r", "-m"]
    words = ["launch.py", *WORDS, f"--workdir={tmp_path / 'disk/run'}"]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    said = {"SIZE": "400k", "DISK": str(tmp_path / "disk"), "PATH": path}
    if not shutil.which("unshare"):
        pytest.skip("no unshare here")
    code, out, text = program(
        *space, "sh", "-c", SMALL_DISK, "sh", *words, OUT=str(tmp_path / "out"), **said
    )
    if code == 99 or "unshare" in text:
        pytest.skip("no disk can be mounted here")
    assert code == 0 and out.startswith("code 2\n"), text
    (line,) = errors(text)
    assert "No space left" in line or "RESOURCE_EXHAUSTED" in line
    assert str(tmp_path / "disk/run") in line and "Traceback" not in text
    assert ".tmp" not in out
    assert outcome(tmp_path / "out")[:2] == outcome(whole)[:2]


def test_a_read_only_folder_is_named_and_stays_as_it_is(copy):
    before = {p: p.read_bytes() for p in copy.rglob("*") if p.is_file()}
    places = [copy, *copy.rglob("*")]
    try:
        for place in places:
            place.chmod(0o555 if place.is_dir() else 0o444)
        code, text = train(copy, before=[HUMBLE])
        new = copy / "new"
        fresh, said = train(new, before=[HUMBLE])
    finally:
        for place in places:
            place.chmod(0o755 if place.is_dir() else 0o644)
    assert code == fresh == 2, text + said
    assert errors(text) == text.splitlines() and f"{copy}/.lock: Permission" in text
    assert errors(said) == said.splitlines() and f"{new}: Permission denied; " in said
    assert {p: p.read_bytes() for p in copy.rglob("*") if p.is_file()} == before


def test_damaged_rows_are_named_once_and_only_early_ones_are_lost(copy, whole):
    rows = (whole / "metrics.jsonl").read_bytes().splitlines(keepends=True)[:33]
    rows[4] = b"\0" * len(rows[4])  # power loss: a block of zeros, its end too
    rows[24] = rows[24][:40] + b"\xff\xfe\n"
    rows[28] += rows[27]  # a row of step 28 once more
    rows[32] = rows[32][:50]
    (copy / "metrics.jsonl").write_bytes(b"".join(rows))
    code, text = train(copy)
    assert code == 0, text
    lost = [line for line in text.splitlines() if "LOST" in line]
    assert len(lost) == 1 and "line 5 damaged" in lost[0]
    assert text.count(" damaged: ") == 2 and "line 24 damaged" in text
    found, rows = outcome(copy), outcome(whole)[1]
    # the line of zeros had no end: the row behind it is in it
    left = [row for row in rows if row["step"] not in (5, 6)]
    assert found[:2] == (outcome(whole)[0], left)


def test_of_two_at_once_one_trains_and_the_other_names_it(whole, tmp_path):
    folder = tmp_path / "run"
    strike = ["-m", "tests.interrupt", "SIGSTOP", "gan_jax.loop:Loop.dispatch", "3"]
    words = [sys.executable, *strike, *WORDS, f"--workdir={folder}"]
    env = {**os.environ, "XLA_FLAGS": ""}
    started, stopped, ended = [], [], []
    for name in "ab":
        with (tmp_path / name).open("w") as file:
            started.append(subprocess.Popen(words, cwd=ROOT, env=env, stderr=file))
    for name, one in zip("ab", started, strict=True):
        status = os.waitpid(one.pid, os.WUNTRACED)[1]
        text = (tmp_path / name).read_text()
        if os.WIFSTOPPED(status):  # the one that trains
            stopped.append(one)
        else:
            one.returncode = os.waitstatus_to_exitcode(status)
            ended.append((one.returncode, text))
    (owner,), ((code, text),) = stopped, ended
    said = f"process {owner.pid} on host {socket.gethostname()}"
    assert code == 2 and len(errors(text)) == 1 and said in text
    owner.send_signal(signal.SIGCONT)
    assert owner.wait(timeout=300) == 0
    assert outcome(folder) == outcome(whole)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """(folder, words) of a run of 20 steps in this process."""
    folder = tmp_path_factory.mktemp("small") / "run"
    words = [*WORDS, f"--workdir={folder}"]
    assert main([*words, "--config.steps=20"]) == 0
    return folder, words


def test_rows_that_are_missing_at_the_end_are_said(small, tmp_path, capsys):
    folder = shutil.copytree(small[0], tmp_path / "run")
    rows = (folder / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "metrics.jsonl").write_bytes(b"".join(rows[:17]))
    assert main([*WORDS, "--config.steps=21", f"--workdir={folder}"]) == 0
    said = "ends at step 17 and the checkpoint is of step 20"
    assert said in capsys.readouterr().err


CUTS = {**DAMAGED, "other types": b'{"config": {"steps": "x", "model": 3}, "data": {}}'}


@pytest.mark.parametrize("kind", CUTS)
def test_a_damaged_config_stops_every_verb_with_a_cure(kind, small, tmp_path, capsys):
    folder, words = small
    path = folder / "config.json"
    good = path.read_bytes()
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    before[path] = CUTS[kind]
    verbs = {
        "train": words,
        "sample": ["sample", f"--out={tmp_path / 'x.png'}", words[-1]],
        "eval": ["eval", words[-1]],
        "report": ["report", f"--out={tmp_path / 'x.html'}", words[-1]],
    }
    if kind == "other types":  # a report shows whatever a config says
        del verbs["report"]
    try:
        path.write_bytes(CUTS[kind])
        for verb, line in verbs.items():
            assert main(line) == 2, verb
            text = capsys.readouterr().err
            assert len(errors(text)) == 1 and str(path) in text, (verb, text)
            assert "choose another --workdir" in text, (verb, text)
        with pytest.raises(RecordError, match=r"config\.json"):
            gan_jax.load(folder)
        after = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        assert after == before, "nothing is overwritten"
    finally:
        path.write_bytes(good)


def test_views_that_cannot_be_written_do_not_stop_a_run(tmp_path, capsys):
    (tmp_path / "samples").write_text("in the way")
    (tmp_path / "tensorboard").write_text("in the way")
    words = [*WORDS, "--config.steps=20", "--config.sample_every=5"]
    assert main([*words, f"--workdir={tmp_path}"]) == 0
    text = capsys.readouterr().err
    assert text.count("TensorBoard is off") == text.count("picture is left out") == 1
    assert str(tmp_path / "samples") in text
    assert columns(tmp_path / "metrics.jsonl")["step"] == list(range(1, 21))
    assert (tmp_path / "checkpoints/20/manifest.json").exists()
