"""The doctor at work: beside runs that train, in a sweep's group, afterwards as a verb, in the report."""

import contextlib
import io
import json
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from gan_jax.checkup import Ward
from gan_jax.cli import main
from gan_jax.doctor import FINDINGS, HEALTHY, diagnose
from gan_jax.plan import Member
from gan_jax.record import Record
from gan_jax.report import build, read
from gan_jax.rows import columns
from tests.report.folders import DEFAULTS, changed, lines
from tests.test_doctor import rows, series

ROOT = Path(__file__).parents[1]
SETTING = {"loss": "non_saturating", "steps": 6000}
WON = {"loss/disc": 0.01, "disc/accuracy": 1.0}


def folder(path, ill=None, steps=range(100, 6001, 100), **fields):
    """A run folder of a made-up series."""
    path.mkdir(parents=True)
    config = {"config": changed(SETTING | fields)}
    (path / "config.json").write_text(json.dumps(config))
    lines(path / "metrics.jsonl", rows(series(ill, steps=steps)))
    return path


def test_a_run_is_told_what_is_wrong_and_what_to_try(tmp_path, capsys):
    run = folder(tmp_path / "a", WON)
    assert main(["doctor", f"--workdir={run}"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("a: logged to step 6,000 of 6,000\n")
    assert "\ndiscriminator_wins, from step 2,500 to the end\n" in said
    assert FINDINGS["discriminator_wins"].meaning in said and "loss/disc 0.01" in said
    assert "--config.penalty.r1=1.0 (a smoother D; now 0.0)" in said
    assert "--config.optim.disc.lr=0.00025 (a slower D; now 0.001)" in said
    assert "docs/doctor.md#discriminator_wins" in said
    assert not (run / "findings.jsonl").exists(), "the verb writes nothing"


def test_a_healthy_run_and_one_that_is_too_short(tmp_path, capsys):
    assert main(["doctor", f"--workdir={folder(tmp_path / 'a')}"]) == 0
    assert "healthy since step 700" in capsys.readouterr().out
    short = folder(tmp_path / "b", steps=range(100, 401, 100))
    assert main(["doctor", f"--workdir={short}"]) == 0
    assert "too short to judge" in capsys.readouterr().out
    (short / "metrics.jsonl").unlink()
    assert main(["doctor", f"--workdir={short}"]) == 0
    assert "too short to judge" in capsys.readouterr().out


def test_json_has_the_same(tmp_path, capsys):
    run = folder(tmp_path / "a", WON)
    assert main(["doctor", f"--workdir={run}", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["run"], said["step"]) == ("a", 6000)
    well, won = said["findings"]
    assert (well["finding"], well["end"]) == (HEALTHY, won["step"])
    assert won["finding"] == "discriminator_wins" and won["end"] is None
    assert won["evidence"]["disc/accuracy"] == pytest.approx(1, abs=0.01)


def test_damaged_rows_are_left_out_aloud(tmp_path, capsys):
    run = folder(tmp_path / "a", WON)
    path = run / "metrics.jsonl"
    whole = path.read_text().splitlines()
    whole[10:10] = ["rubbish", '{"step": 1, "loss/gen": "low"}', '{"loss/gen": 1.0}']
    path.write_text("\n".join(whole) + '\n{"step": 6100, "loss')
    (run / "findings.jsonl").write_text('{"step": 1}\n{"step": 2, "finding": 3}\n')
    assert main(["doctor", f"--workdir={run}"]) == 0
    said = capsys.readouterr()
    assert "discriminator_wins, from step 2,500 to the end" in said.out
    assert "metrics.jsonl: 3 damaged lines are left out" in said.err
    assert "findings.jsonl: 2 damaged lines are left out" in said.err


def test_a_halt_is_read_from_what_the_run_wrote(tmp_path, capsys):
    run = folder(tmp_path / "a", steps=range(100, 901, 100))
    record = Record(run, board=False)
    ward = Ward([Member("a", {}, ConfigDict())], [record])
    for _ in range(2):  # once, however often the group is closed
        ward.halted(0, 950, "loss/gen is nan")
    record.close()
    ward.say()
    assert "step 950: divergence in a: " in capsys.readouterr().err
    found = columns(run / "findings.jsonl")
    assert found["first_bad"] == ["loss/gen is nan"] and found["step"] == [950]
    assert main(["doctor", f"--workdir={run}"]) == 0
    said = capsys.readouterr().out
    assert "\ndivergence, from step 950 to the end\n" in said
    assert "loss/gen is nan" in said
    assert read([run]).runs[0].status == "diverged"


def test_a_sweep_is_a_table_of_its_members_by_finding(tmp_path, capsys):
    (tmp_path / "s").mkdir()
    (tmp_path / "s/sweep.json").write_text("{}")
    assert main(["doctor", f"--workdir={tmp_path / 's'}"]) == 2
    assert "no member that was started" in capsys.readouterr().err
    for i in range(12):
        ill = WON if i < 8 else {"diversity/ratio": 0.05} if i < 10 else None
        folder(tmp_path / f"s/members/{i:04d}", ill, seed=i)
    assert main(["doctor", f"--workdir={tmp_path / 's'}"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in table[1:4]] == [
        ["discriminator_wins", "8", "2,500"],
        ["mode_collapse", "2", "2,500"],
        [HEALTHY, "2", "700"],
    ]
    assert table[1].endswith("0000 0001 0002 0003 0004 0005 and 2 more")
    assert table[4] == "of 12 members; docs/doctor.md says what to do"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--workdir=nothing/here"], "config.json is missing"),
        (["--workdir=x", "--config.loss=hinge"], "takes no --config"),
    ],
)
def test_a_mistake_is_one_sentence(words, message, capsys):
    assert main(["doctor", *words]) == 2
    said = capsys.readouterr().err
    assert message in said and "Traceback" not in said


def test_the_report_counts_runs_by_finding(tmp_path):
    a, b = folder(tmp_path / "a", WON), folder(tmp_path / "b", seed=1)
    for run in (a, b):
        table = columns(run / "metrics.jsonl")
        found = [one.found.row() for one in diagnose(table, config=SETTING)]
        lines(run / "findings.jsonl", found)
    text = build(read([a, b]), DEFAULTS, {})
    section = text[text.index('<section id="findings"') :]
    section = section[: section.index("</section>")]
    assert "<td" in section and "1 of 2" in section and "2 of 2" in section
    assert FINDINGS["discriminator_wins"].meaning in section
    assert "loss/disc 0.0" in section and "{" not in section, "no JSON for people"


def test_members_speak_together(tmp_path, capsys):
    """Each member has the findings of its own rows; the group says them once."""
    names = [f"{i:04d}" for i in range(5)]
    records = [Record(tmp_path / name, board=False) for name in names]
    config = ConfigDict(SETTING | {"penalty": {"r1": 2.0}})
    group = [Member(name, {}, config) for name in names]
    ward = Ward(group, records)
    tables = [rows(series(WON if i < 4 else None)) for i in range(5)]
    for now in zip(*tables, strict=True):
        for i, row in enumerate(now):
            ward.logged(i, row["step"], {n: x for n, x in row.items() if n != "step"})
        ward.say()
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert said[0].startswith("step 700: healthy in 0000, 0001, 0002 and 2 more: ")
    assert said[1].startswith(
        "step 2,500: discriminator_wins in 0000, 0001, 0002 and 1"
    )
    for i, record in enumerate(records):
        record.close()
        found = columns(record.workdir / "findings.jsonl")
        assert found["finding"][1:] == ["discriminator_wins"] * (i < 4)
    assert "r1=20.0" in columns(tmp_path / "0000/findings.jsonl")["remedy"][1]


def train(workdir, std, steps=800):
    """Run the ring's good recipe with initial weights of this std; 0 leaves both players dead."""
    words = [
        f"--config={ROOT}/configs/ring.py",
        "--config.model.init=normal",
        f"--config.model.init_std={std}",
        "--config.model.width=32",
        "--config.batch_size=64",
        f"--config.steps={steps}",
        "--config.log_every=20",
        "--config.sample_every=0",
        "--config.checkpoint_every=0",
        f"--workdir={workdir}",
    ]
    assert main(words) == 0


@pytest.fixture(scope="module")
def dead(tmp_path_factory):
    """A run of dead players, and what it said."""
    workdir, said = tmp_path_factory.mktemp("dead"), io.StringIO()
    with contextlib.redirect_stderr(said):
        train(workdir, 0.0)
    return workdir, said.getvalue()


def test_a_run_that_trains_says_what_is_wrong(dead, capsys):
    workdir, said = dead
    found = columns(workdir / "findings.jsonl")
    assert set(found["step"]) == {540}
    assert {"first_layer_dead", "mode_collapse"} <= set(found["finding"])
    assert found["evidence"][0]["dead/gen"] == 1
    for name in found["finding"]:
        assert f"\nstep 540: {name}: {FINDINGS[name].meaning} (" in said
        assert f"; docs/doctor.md#{name}\n" in said
    assert main(["doctor", f"--workdir={workdir}"]) == 0
    afterwards = capsys.readouterr().out
    assert all(f"{n}, from step 540 to the end" in afterwards for n in found["finding"])
    assert list((workdir / "tensorboard").iterdir())


def test_a_good_recipe_is_healthy(tmp_path, capsys):
    train(tmp_path, 0.3)
    found = columns(tmp_path / "findings.jsonl")
    assert (found["finding"], found["step"]) == ([HEALTHY], [540])
    assert "step 540: healthy: nothing is found\n" in capsys.readouterr().err


def test_a_resumed_run_finds_what_an_unbroken_one_does(dead, tmp_path):
    """Cut before the finding, so that rows of before the stop are needed for it; and after, so that it is not said twice."""
    for steps in (520, 640, 800):
        train(tmp_path, 0.0, steps)
    whole = (dead[0] / "findings.jsonl").read_bytes()
    assert (tmp_path / "findings.jsonl").read_bytes() == whole and whole
