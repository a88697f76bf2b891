"""Folders as data: what is read, how runs are grouped, what is said of damage."""

import json

import pytest

from gan_jax.record import RecordError
from gan_jax.report.gather import read
from gan_jax.report.settings import settings_of, short, varied
from tests.report.folders import CONFIG, FIELDS, lines, make_run, make_sweep


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "a")


@pytest.fixture
def sweep(tmp_path):
    return make_sweep(tmp_path / "s", 2, 2, 2)


def test_a_run_is_read_whole(run):
    (found,) = read([run]).runs
    assert found.config["optim.disc.lr"] == 1e-3 and found.status == "done"
    assert found.step == 1000 and list(found.samples) == [0, 500, 1000]
    assert found.values["final/modes"] == 6 and len(found.evals) == 4
    assert list(found.metrics["loss/disc"]) == list(range(100, 1001, 100))


def test_seeds_of_one_config_are_one_setting(tmp_path):
    a, b = (make_run(tmp_path / n, {"seed": i}) for i, n in enumerate("ab"))
    c = make_run(tmp_path / "c", {"loss": "hinge"})
    settings = settings_of(read([a, b, c, a]).runs)
    assert [[run.name for run in s.runs] for s in settings] == [["a", "b"], ["c"]]
    assert [s.label for s in settings] == ["loss rp", "loss hinge"]


def test_equal_numbers_of_two_kinds_are_one_setting_and_other_data_are_not(tmp_path):
    a = make_run(tmp_path / "a")
    b = make_run(tmp_path / "b", {"seed": 1, "penalty.r1": 0})
    assert len(settings_of(read([a, b]).runs)) == 1
    about = json.loads((b / "config.json").read_text())
    about["data"]["digest"] = "0" * 64
    (b / "config.json").write_text(json.dumps(about))
    assert varied(read([a, b]).runs) == ["data (sha256)", "seed"]


def test_short_names_still_differ():
    assert short(["optim.disc.lr", "optim.gen.lr", "penalty.r1"]) == {
        "optim.disc.lr": "disc.lr",
        "optim.gen.lr": "gen.lr",
        "penalty.r1": "r1",
    }
    assert short(["lr", "optim.lr"]) == {"lr": "lr", "optim.lr": "optim.lr"}


def test_a_sweep_has_the_status_and_values_of_its_table(sweep):
    report = read([sweep])
    assert report.fields == FIELDS and report.command.startswith("python launch.py")
    assert [run.status for run in report.runs].count("diverged") == 1
    dead = report.runs[1]
    assert dead.step == 400 and dead.values["best/modes"] == 7
    assert dead.values["final/reverse_kl"] is None, "the table's word counts"
    assert dead.values["final/modes"] == 7, "what the table lacks is in the folder"
    labels = [s.label for s in settings_of(report.runs, report.fields)]
    assert labels == ["lr 0.0001, r1 0", "lr 0.0001, r1 0.1"] + [
        "lr 0.0003, r1 0",
        "lr 0.0003, r1 0.1",
    ]


def test_a_sweep_that_still_runs(tmp_path):
    sweep = make_sweep(tmp_path / "s", 2, 2, 2, results=False)
    (sweep / "members/0007/config.json").unlink()
    (sweep / "results.csv").write_text("member,status,step\n0007,running,0\n")
    assert read([sweep]).runs[7].status == "not started"
    (sweep / "results.csv").unlink()
    runs = read([sweep]).runs
    assert runs[7].status == "not started" and runs[0].status == "done"
    assert runs[1].status == "unfinished" and runs[0].values["final/modes"] == 6
    assert len(settings_of(runs, FIELDS)) == 4, "a member waits in its own setting"


def test_half_written_last_lines_are_skipped(run, sweep):
    for name in ("metrics.jsonl", "eval.jsonl"):
        with open(run / name, "a") as file:
            file.write('{"step": 1100, "metr')
    assert read([run]).runs[0].step == 1000
    table = sweep / "results.csv"
    table.write_text(table.read_text().rstrip("\n")[:-3])
    assert read([sweep]).runs[7].status == "done", "judged by its own folder"


def broken(name, text):
    return lambda folder: (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (broken("config.json", "{"), "config.json is damaged"),
        (broken("config.json", '{"config": 3}'), "holds no config"),
        (lambda folder: (folder / "config.json").unlink(), "config.json is missing"),
        (broken("metrics.jsonl", "nonsense\n"), "metrics.jsonl, line 1 is damaged"),
        (broken("metrics.jsonl", '{"step": 1, "a": "x"}\n'), "'x' in a row of step 1"),
        (broken("metrics.jsonl", '{"step": 1, "a": true}\n'), "True in a row"),
        (broken("eval.jsonl", '{"step": 1, "value": 3}\n'), "has no 'metric'"),
        (broken("eval.jsonl", '{"step": 1, "metric": "fd"}\n'), "has no 'value'"),
        (broken("findings.jsonl", '{"step": 1}\n'), "has no 'finding'"),
    ],
)
def test_damage_to_a_run_is_one_sentence(run, harm, message):
    harm(run)
    with pytest.raises(RecordError, match=message):
        read([run])


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (broken("sweep.json", "{"), "sweep.json is damaged"),
        (broken("sweep.json", '{"command": ""}'), "sweep.json is damaged"),
        (
            broken("sweep.json", '{"command": "", "fields": [], "members": []}'),
            "no members",
        ),
        (broken("results.csv", "a,b\n1,2\n"), "no column 'member'"),
        (broken("results.csv", "member,status\n0000\n"), "line 2 has 1 columns of 2"),
    ],
)
def test_damage_to_a_sweep_is_one_sentence(sweep, harm, message):
    harm(sweep)
    with pytest.raises(RecordError, match=message):
        read([sweep])


def test_a_folder_around_runs_names_them(run):
    with pytest.raises(RecordError, match="holds no run itself, but a: name them"):
        read([run.parent])


def test_a_sweep_among_runs_is_refused(run, sweep):
    with pytest.raises(RecordError, match="is a sweep: give it alone"):
        read([run, sweep])


def test_status_without_a_table(run):
    lines(run / "findings.jsonl", [{"step": 5, "finding": "divergence"}])
    assert read([run]).runs[0].status == "done", "a warning that came to nothing"
    halt = {"step": 5, "finding": "divergence", "first_bad": "loss/gen is nan"}
    lines(run / "findings.jsonl", [halt])
    assert read([run]).runs[0].status == "diverged"
    (run / "findings.jsonl").unlink()
    lines(run / "metrics.jsonl", [{"step": 100, "loss/gen": None}])
    assert read([run]).runs[0].status == "diverged"
    lines(run / "metrics.jsonl", [{"step": CONFIG["steps"] - 1, "loss/gen": 1.0}])
    report = read([run])
    assert report.runs[0].status == "unfinished" and "999 of 1000" in report.notes[0]
