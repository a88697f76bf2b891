"""Sweeps: a member is its single run, killed and resumed is uninterrupted, a dead member leaves the others alone."""

import csv
import json
import shutil
import signal

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import gan_jax
from gan_jax import fit, group, herd
from gan_jax.checkpoint import Checkpoints
from gan_jax.cli import main
from gan_jax.config import loaded
from gan_jax.job import assemble
from gan_jax.plan import Member
from gan_jax.record import columns
from gan_jax.results import Results, result
from tests.recipes import bits
from tests.test_checkpoint import damage, data_file
from tests.test_train import CLOCK, ROOT, finish

OPTIMISED = True  # this is about equal bits of different programs
RING = [
    f"--config={ROOT}/configs/ring_plain.py",
    "--config.batch_size=16",
    "--config.model.width=8",
    "--config.n_disc=2",
    "--config.log_every=10",
    "--config.sample_every=30",
    "--config.checkpoint_every=20",
    "--config.eval.every=30",
    "--config.eval.n=100",
    "--config.scan_steps=8",
    "--config.steps=60",
]
SWEEP = "--sweep=optim.disc.lr=1e-4,1e-2;seed=0,7"


def rows_of(folder):
    return [
        {k: v for k, v in json.loads(line).items() if k not in CLOCK}
        for line in (folder / "metrics.jsonl").read_text().splitlines()
    ]


def left(folder):
    """What a member or a run leaves: rows, evaluations, pictures."""
    pictures = {p.name: p.read_bytes() for p in (folder / "samples").glob("*.png")}
    return rows_of(folder), (folder / "eval.jsonl").read_text(), pictures


def everything(folder):
    members = {p.name: left(p) for p in sorted((folder / "members").iterdir())}
    return members, (folder / "results.csv").read_text()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    code, text = finish(folder, "sweep", *RING, SWEEP, "--backend=map")
    assert code == 0, text
    return folder


def test_a_member_is_the_run_of_its_setting_to_the_bit(whole, tmp_path):
    words = ["--config.optim.disc.lr=1e-2", "--config.seed=7"]
    code, text = finish(tmp_path, *RING, *words)
    assert code == 0, text
    member = whole / "members" / "0003"
    assert left(member) == left(tmp_path)
    ours, alone = gan_jax.load(member), gan_jax.load(tmp_path)
    assert bits(ours.params) == bits(alone.params) and ours.step == alone.step == 60
    np.testing.assert_array_equal(ours.sample(50, seed=1), alone.sample(50, seed=1))
    assert (
        "--config.optim.disc.lr=0.01 --config.seed=7"
        in json.loads((member / "config.json").read_text())["command"]
    )


def test_members_differ(whole):
    rows = [rows_of(p)[-1]["loss/disc"] for p in (whole / "members").iterdir()]
    assert len(set(rows)) == 4


def test_together_is_one_by_one_to_rounding(whole, tmp_path):
    code, text = finish(tmp_path, "sweep", *RING, SWEEP, "--backend=vmap")
    assert code == 0, text
    for name in ("0000", "0003"):
        ours, theirs = (rows_of(x / "members" / name)[-1] for x in (tmp_path, whole))
        for key, value in theirs.items():
            assert ours[key] == pytest.approx(value, rel=2e-3, abs=2e-3), key


def test_members_on_four_devices_are_one_by_one(whole, tmp_path):
    """Three members on four devices, stopped and resumed: the fourth device repeats one."""
    words = ["sweep", *RING, "--backend=devices_map", f"--workdir={tmp_path}"]
    words.append("--sweep=optim.disc.lr=1e-4,1e-4,1e-2 & seed=0,7,0")
    assert main([*words, "--config.steps=20"]) == 0
    assert main(words) == 0
    for name in ("0000", "0001", "0002"):
        ours, theirs = (rows_of(x / "members" / name) for x in (tmp_path, whole))
        assert [r["step"] for r in ours] == [r["step"] for r in theirs]
        for mine, other in zip(ours, theirs, strict=True):
            assert mine == pytest.approx(other, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(
    ("where", "count"),
    [("gan_jax.herd:Herd.dispatch", 7), ("gan_jax.record:Record.append", 11)],
)
def test_a_sweep_killed_and_resumed_equals_one_that_was_not(
    where, count, whole, tmp_path
):
    words = ("sweep", *RING, SWEEP, "--backend=map")
    code, _ = finish(tmp_path, *words, strike=("SIGKILL", where, count))
    assert code == -signal.SIGKILL
    code, text = finish(tmp_path, *words)
    assert code == 0, text
    assert everything(tmp_path) == everything(whole)


def test_chunks_in_flight_change_nothing(whole, tmp_path, monkeypatch):
    """As on an accelerator, where the next chunk's rows are made while one runs."""
    monkeypatch.setattr(herd, "in_flight", lambda: 1)
    words = ["sweep", *RING, SWEEP, "--backend=map", f"--workdir={tmp_path}"]
    assert main(words) == 0
    assert everything(tmp_path) == everything(whole)


def test_a_finished_sweep_is_not_touched(whole):
    before = {p: p.stat().st_mtime_ns for p in (whole / "members").rglob("*.json*")}
    code, text = finish(whole, "sweep", *RING, SWEEP, "--backend=map")
    assert code == 0 and "done: 4 members" in text
    assert before == {p: p.stat().st_mtime_ns for p in before}


def test_a_damaged_group_is_said_and_trained_again_or_refused(whole, tmp_path):
    """Its last step is damaged, so it is not finished."""
    shutil.copytree(whole, tmp_path / "s")
    saved = Checkpoints(tmp_path / "s" / "groups" / "0" / "checkpoints")
    damage(data_file(saved, 60), "flipped")
    words = ("sweep", *RING, SWEEP, "--backend=map")
    code, text = finish(tmp_path / "s", *words, "--resume=strict")
    assert code == 2 and "error: --resume=strict: step 60 is damaged" in text
    code, text = finish(tmp_path / "s", *words)
    assert code == 0 and "WARNING: using step" in text
    assert everything(tmp_path / "s") == everything(whole)


def pointer_of(workdir, name):
    return json.loads((workdir / "members" / name / "member.json").read_text())


def test_a_dead_member_is_frozen_and_the_others_go_on(whole, tmp_path):
    text = SWEEP.replace("1e-4,1e-2", "1e-4,1e30")
    assert finish(tmp_path, "sweep", *RING, text, "--backend=map")[0] == 0
    with open(tmp_path / "results.csv") as file:
        table = list(csv.DictReader(file))
    assert [row["status"] for row in table] == ["done", "done", "diverged", "diverged"]
    assert int(table[2]["step"]) < 60
    for name in ("0000", "0001"):
        assert left(tmp_path / "members" / name) == left(whole / "members" / name)
        assert "first_bad" not in pointer_of(tmp_path, name)
    assert " is " in pointer_of(tmp_path, "0002")["first_bad"]
    assert [row["findings"] for row in table] == ["", "", "divergence", "divergence"]
    dead = gan_jax.load(tmp_path / "members" / "0002")
    assert np.isfinite(dead.sample(10)).all() and dead.step == int(table[2]["step"])


def test_results_and_plan(whole):
    with open(whole / "results.csv") as file:
        table = list(csv.DictReader(file))
    plan = json.loads((whole / "sweep.json").read_text())
    assert [row["member"] for row in table] == ["0000", "0001", "0002", "0003"]
    assert plan["fields"] == ["optim.disc.lr", "seed"]
    (group,) = plan["groups"]
    assert group["backend"] == "map" and group["members"] == 4
    assert group["bytes"]["map"] > 100_000 * 2 * 4, "the data at least"
    for row, one in zip(table, plan["members"], strict=True):
        last = columns(whole / "members" / row["member"] / "metrics.jsonl")
        assert float(row["final/loss/gen"]) == last["loss/gen"][-1]
        assert float(row["optim.disc.lr"]) == one["setting"]["optim.disc.lr"]
        assert row["status"] == "done" and float(row["best/modes"]) >= 0
        said = columns(whole / "members" / row["member"] / "eval.jsonl")
        last = dict(zip(said["metric"], said["value"], strict=True))  # later ones win
        assert float(row["final/modes"]) == last["modes"]
    assert Checkpoints(whole / "groups/0/checkpoints").latest() == 60


def test_tensorboard_has_the_settings_and_values(whole):
    members = sorted((whole / "tensorboard").glob("00*"))
    assert [p.name for p in members] == ["0000", "0001", "0002", "0003"]
    events = EventAccumulator(str(members[3])).Reload()
    start = events.SummaryMetadata("_hparams_/session_start_info")
    assert b"optim.disc.lr" in start.plugin_data.content
    (value,) = events.Scalars("final/loss/gen")
    last = columns(whole / "members" / "0003" / "metrics.jsonl")["loss/gen"][-1]
    assert value.value == np.float32(last)


def test_tensorboard_has_the_curves_of_a_group_in_one_file(whole):
    (file,) = (whole / "groups/0/tensorboard").iterdir()
    events = EventAccumulator(str(file)).Reload()
    for name in ("0000", "0003"):
        table = columns(whole / "members" / name / "metrics.jsonl")
        points = events.Scalars(f"loss/gen/{name}")
        assert [p.step for p in points] == table["step"]
        assert [p.value for p in points] == [np.float32(x) for x in table["loss/gen"]]
        assert [p.step for p in events.Scalars(f"eval/modes/{name}")] == [30, 60]


def test_groups_of_other_lengths_are_finished_each_at_its_own_step(tmp_path, capsys):
    words = ["sweep", *RING, "--sweep=steps=8,4", "--backend=map"]
    for _ in range(2):
        assert main([*words, f"--workdir={tmp_path}"]) == 0
        with open(tmp_path / "results.csv") as file:
            table = list(csv.DictReader(file))
        assert [(row["step"], row["status"]) for row in table] == [
            ("8", "done"),
            ("4", "done"),
        ]
    assert capsys.readouterr().err.count("group 0: 1 members, map") == 1


def test_findings_are_in_the_results(whole, tmp_path):
    folder = tmp_path / "members" / "0000"
    shutil.copytree(whole / "members" / "0000", folder)
    rows = [
        {"step": s, "finding": f}
        for s, f in ((1, "healthy"), (2, "a"), (3, "b"), (4, "healthy"), (5, "a"))
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "findings.jsonl").write_text(lines)
    config = loaded(RING[0].removeprefix("--config="), [])
    row = result(tmp_path, Member("0000", {}, config))
    assert row["findings"] == "a b" and row["status"] == "running"
    (folder / "findings.jsonl").write_text(lines[: lines.index("\n") + 1])
    assert result(tmp_path, Member("0000", {}, config))["findings"] == "healthy"


def test_a_line_is_remembered_only_when_its_group_is_finished(whole, tmp_path):
    """Elsewhere a member may have logged its last step and not evaluated it yet."""
    folder = tmp_path / "members" / "0000"
    shutil.copytree(whole / "members" / "0000", folder)
    rows = (folder / "eval.jsonl").read_text()
    (folder / "eval.jsonl").write_text("")
    one = Member(
        "0000", {}, loaded(RING[0].removeprefix("--config="), [("steps", "60")])
    )
    results = Results(tmp_path)
    assert "final/modes" not in results.line(one)
    (folder / "eval.jsonl").write_text(rows)
    full = results.line(one)
    assert "final/modes" in full and full["status"] == "done"
    results.keep([one])
    (folder / "eval.jsonl").write_text("")
    assert results.line(one) == full


def test_its_report_shows_every_member(whole, tmp_path):
    page = tmp_path / "page.html"
    assert main(["report", f"--workdir={whole}", f"--out={page}"]) == 0
    text = page.read_text()
    for name in ("0000", "0001", "0002", "0003", "optim.disc.lr", "best/modes"):
        assert name in text


def test_the_verbs_take_a_member(whole, capsys, tmp_path):
    member = whole / "members" / "0002"
    out = tmp_path / "rows.jsonl"
    assert (
        main(["eval", f"--workdir={member}", "--metrics=fd", "--n=50", f"--out={out}"])
        == 0
    )
    assert (
        main(["sample", f"--workdir={member}", f"--out={tmp_path}/x.npz", "--n=5"]) == 0
    )
    capsys.readouterr()
    assert main([*RING, f"--workdir={member}"]) == 2
    assert "is a member of a sweep" in capsys.readouterr().err
    assert main([*RING, f"--workdir={whole}"]) == 2
    assert "is a sweep" in capsys.readouterr().err


def test_a_dry_run_says_the_plan_and_writes_nothing(tmp_path, capsys):
    words = ["sweep", *RING, "--sweep=loss=hinge,rp;seed=0..2", "--dry-run"]
    assert main([*words, f"--workdir={tmp_path / 's'}"]) == 0
    text = capsys.readouterr().out
    assert "6 members in 2 group(s)" in text and "loss rp, ring" in text
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "has no get_sweep()"),
        (["--sweep=seed=0,x"], "expected a whole number"),
        (["--sweep=loss=hinge,began"], "setting loss=began"),
        (["--sweep=seed=0,1", "--most=-1"], "--most=-1"),
        (["--sweep=seed=0,1", "--memory=inf"], "--memory=inf"),
        (["--sweep=seed=0,1", "--config.eval.patience=2"], "eval.patience is 2"),
        (["--sweep=eval.patience=0,2"], "eval.patience is 2"),
        (["--sweep=eval.every=30,0", "--halving=2"], "set --config.eval.every=STEPS"),
    ],
)
def test_mistakes(words, message, tmp_path, capsys):
    workdir = tmp_path / "s"
    assert main(["sweep", *RING, *words, f"--workdir={workdir}"]) == 2
    assert message in capsys.readouterr().err and not workdir.exists()


def test_another_sweep_in_the_folder_is_refused(whole, capsys):
    assert main(["sweep", *RING, "--sweep=seed=0..3", f"--workdir={whole}"]) == 2
    assert (
        "holds another sweep (4 members over optim.disc.lr, seed)"
        in capsys.readouterr().err
    )
    changed = ["--config.batch_size=32", f"--workdir={whole}"]
    assert main(["sweep", *RING, SWEEP, *changed]) == 2
    assert "batch_size: 16 -> 32" in capsys.readouterr().err


def test_a_damaged_plan_is_said(tmp_path, capsys):
    for text in ("{", '{"members": [{"name": "0000"}], "groups": []}', "[]"):
        (tmp_path / "sweep.json").write_text(text)
        assert main(["sweep", *RING, SWEEP, f"--workdir={tmp_path}"]) == 2
        assert "sweep.json is damaged" in capsys.readouterr().err


def test_the_trial_fits_a_chunk_of_one_step(monkeypatch):
    monkeypatch.setattr(fit, "candidates", lambda asked, members: ["map"])
    config = loaded(RING[0].removeprefix("--config="), [("scan_steps", "1")])
    assert fit.fastest(assemble(config), [config, config]) == "map"


def test_auto_takes_the_fastest_and_keeps_it(monkeypatch, tmp_path):
    monkeypatch.setattr(group, "fastest", lambda job, members: "vmap")
    words = ["sweep", *RING, SWEEP, "--config.steps=4", f"--workdir={tmp_path}"]
    assert main(words) == 0
    plan = json.loads((tmp_path / "sweep.json").read_text())
    assert plan["groups"][0]["backend"] == "vmap"
    monkeypatch.setattr(group, "fastest", lambda job, members: "map")
    words[words.index("--config.steps=4")] = "--config.steps=8"
    assert main(words) == 0
    again = json.loads((tmp_path / "sweep.json").read_text())
    assert again["groups"][0]["backend"] == "vmap"
