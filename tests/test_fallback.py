"""Which checkpoint a run goes on from: what is damaged is said, refused if asked; saves in the background; hostile files."""

import json
import os
import shutil
import threading

import numpy as np
import pytest

from gan_jax import checkpoint, manifest
from gan_jax.checkpoint import CheckpointError, Checkpoints
from gan_jax.cli import main
from gan_jax.manifest import LEDGER, MANIFEST
from tests.test_checkpoint import bits, damage, data_file, saved, small  # noqa: F401
from tests.test_train import RING, SMALL, outcome


def vanish(made, step):
    shutil.rmtree(made.folder / str(step))


def forget_manifest(made, step):
    (made.folder / str(step) / MANIFEST).unlink()


def flip(made, step):
    damage(data_file(made, step), "flipped")


@pytest.mark.parametrize("harm", [vanish, forget_manifest, flip])
def test_a_step_that_was_complete_and_is_not_is_said_and_refused_by_strict(
    harm,
    saved,  # noqa: F811
    capfd,
):
    harm(saved, 200)
    with pytest.raises(CheckpointError, match="resume=strict: step 200 .*good.* 100"):
        saved.find(strict=True)
    assert capfd.readouterr().err == ""
    assert saved.find() == 100
    assert "WARNING: using step 100: step 200 is damaged: " in capfd.readouterr().err
    saved.save(300, small(300))  # from now on 200 is history
    assert Checkpoints(saved.folder).find(strict=True) == 300
    assert capfd.readouterr().err == ""


def test_a_save_that_was_cut_short_is_no_damage(saved, capfd):  # noqa: F811
    shutil.copytree(saved.folder / "200", saved.folder / "300")
    forget_manifest(saved, 300)
    assert saved.find(strict=True) == 200
    said = capfd.readouterr().err
    assert (
        said
        == "WARNING: using step 200: step 300 does not count: its save was cut short\n"
    )


def test_first_save_cut_short_is_a_beginning(tmp_path, capfd):
    (tmp_path / "20" / "default").mkdir(parents=True)
    assert Checkpoints(tmp_path).find(strict=True) is None
    assert capfd.readouterr().err == ""


def test_everything_gone_is_refused_not_begun_anew(saved):  # noqa: F811
    vanish(saved, 100)
    vanish(saved, 200)
    for strict in (False, True):
        with pytest.raises(CheckpointError, match="200 is damaged.*100 is damaged"):
            saved.find(strict)


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"complete": [1e999]}', "[" * 10**5])
def test_a_damaged_ledger_is_said(text, saved, capfd):  # noqa: F811
    (saved.folder / LEDGER).write_text(text)
    assert saved.find() == 200
    assert f"{LEDGER} is damaged" in capfd.readouterr().err
    with pytest.raises(CheckpointError, match=LEDGER):
        saved.find(strict=True)
    (saved.folder / LEDGER).unlink()  # a run from before there was one
    assert saved.find(strict=True) == 200


def test_the_ledger_never_lists_what_is_removed(saved):  # noqa: F811
    saved.pinned = 100
    for step in (300, 400, 500):
        saved.save(step, small(step))
        listed, wrong = manifest.read_ledger(saved.folder)
        assert wrong == [] and set(listed) == set(saved.steps())
    assert listed == [100, 400, 500]


def test_a_save_in_the_background_writes_the_state_of_its_start(tmp_path, monkeypatch):
    go, made, state = threading.Event(), Checkpoints(tmp_path), small(7)
    write = checkpoint._write

    def held(*what):
        assert go.wait(60)
        write(*what)

    monkeypatch.setattr(checkpoint, "_write", held)
    made.start(7, state)
    state["a"][:] = -1  # the next step reuses the buffer
    assert made.latest() is None and made.holds(7) and not made.holds(8)
    made.check()  # nothing to say yet
    go.set()
    made.wait()
    assert made.latest() == 7
    assert bits(made.restore(7, small(0))) == bits(small(7))


def test_a_save_that_fails_in_the_background_is_raised_once(tmp_path, monkeypatch):
    made = Checkpoints(tmp_path)
    made.save(1, small(1))
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_write", lambda *_: 1 / 0)
        made.start(2, small(2))
        made._thread.join()
        assert made.holds(2)
        with pytest.raises(
            CheckpointError, match="step 2 could not be .*steps: \\[1\\]"
        ):
            made.check()
        assert not made.holds(2)
        made.start(3, small(3))
        with pytest.raises(CheckpointError, match="step 3"):
            made.start(4, small(4))
    made.save(4, small(4))
    assert made.steps() == [1, 4]


def rewrite(path, change):
    """Change a manifest and seal it anew, as one who means harm would."""
    body = json.loads(path.read_bytes())
    del body["sha256"]
    change(body)
    manifest._write(path, body)


def test_a_manifest_cannot_point_outside(saved, tmp_path):  # noqa: F811
    for name in ("../100/manifest.json", "/dev/zero"):

        def point(body, name=name):
            body["files"][name] = {"size": 0, "sha256": "0"}

        rewrite(saved.folder / "200" / MANIFEST, point)
        (problem,) = saved.verify(200)
        assert "outside the checkpoint" in problem
    assert saved.verify(100) == []


def test_links_and_pipes_in_a_checkpoint_are_refused(saved):  # noqa: F811
    path = saved.folder / "200" / "default" / "_METADATA"
    path.rename(saved.folder / "elsewhere")
    path.symlink_to(saved.folder / "elsewhere")
    assert "no ordinary file" in saved.verify(200)[0]
    path.unlink()
    os.mkfifo(path)  # opening it would wait for ever
    assert "no ordinary file" in saved.verify(200)[0]


def test_arrays_larger_than_the_manifest_says_are_not_read(saved, monkeypatch):  # noqa: F811
    """Orbax would make an array of whatever shape the stored header has."""
    big = saved.folder.parent / "big"
    Checkpoints(big).save(200, {"a": np.zeros((64, 640)), "step": np.int32(1)})
    shutil.rmtree(saved.folder / "200" / "default")
    shutil.copytree(big / "200" / "default", saved.folder / "200" / "default")
    tree = manifest.read_tree(saved.folder / "200")
    forget_manifest(saved, 200)
    manifest.write_manifest(saved.folder / "200", 200, tree)
    assert saved.verify(200) == []
    with pytest.raises(CheckpointError, match="are not those of its manifest"):
        saved.restore(200, small(0))


def test_a_whole_run_falls_back_loudly_or_refuses(tmp_path, capfd):
    """The damaged newest step is trained again, to the same bytes."""
    # the last step is always evaluated and drawn, which a run that goes past it would not do there
    quiet = ["--config.eval.every=0", "--config.sample_every=0"]
    words = [*RING, *SMALL, *quiet, f"--workdir={tmp_path / 'run'}"]
    assert main([*words, "--config.steps=60"]) == 0
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    assert main([*words, "--config.steps=80"]) == 0
    whole = outcome(tmp_path / "run")
    shutil.rmtree(tmp_path / "run")
    shutil.copytree(tmp_path / "copy", tmp_path / "run")
    flip(Checkpoints(tmp_path / "run" / "checkpoints"), 60)
    capfd.readouterr()
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    assert main([*words, "--config.steps=80", "--resume=strict"]) == 2
    said = capfd.readouterr().err
    assert said.startswith("error: --resume=strict: step 60 is damaged: ")
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before
    assert main([*words, "--config.steps=80"]) == 0
    said = capfd.readouterr().err
    assert "WARNING: using step 40: step 60 is damaged: " in said
    assert "from step 40 to 80" in said
    assert outcome(tmp_path / "run") == whole


def test_a_finished_run_whose_last_step_is_damaged_is_not_finished(tmp_path, capfd):
    words = [*RING, *SMALL, "--config.steps=40", f"--workdir={tmp_path}"]
    assert main(words) == 0
    whole = outcome(tmp_path)
    flip(Checkpoints(tmp_path / "checkpoints"), 40)
    assert main(words) == 0
    assert "from step 20 to 40" in capfd.readouterr().err
    assert outcome(tmp_path) == whole


def test_a_run_whose_checkpoints_were_removed_does_not_lose_its_rows(tmp_path, capsys):
    words = [*RING, *SMALL, "--config.steps=60", f"--workdir={tmp_path}"]
    assert main(words) == 0
    before = (tmp_path / "metrics.jsonl").read_bytes()
    shutil.rmtree(tmp_path / "checkpoints")
    assert main(words) == 2
    assert (
        "metrics.jsonl goes to step 60: put the checkpoints back"
        in capsys.readouterr().err
    )
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    "word, said",
    [
        ("seed=3", "seed: 0 -> 3"),
        ("model.width=9", "model.width: 8 -> 9"),
        ("optim.gen.name=sgd", "optim.gen.name: 'adam' -> 'sgd'"),
        ("data.source=grid", "data.source: 'ring' -> 'grid'"),
        ("loss=hinge", "loss: 'non_saturating' -> 'hinge'"),
    ],
)
def test_what_may_not_change_on_resume_is_shown(word, said, begun, capsys):
    before = (begun / "metrics.jsonl").read_bytes()
    words = [*RING, *SMALL, "--config.steps=30", f"--workdir={begun}"]
    assert main([*words, f"--config.{word}"]) == 2
    text = capsys.readouterr().err
    assert said in text and "go on with the old values" in text
    assert (begun / "metrics.jsonl").read_bytes() == before


def test_an_older_config_lacks_new_fields_and_may_have_lost_ones(begun, capsys):
    """A field that it does not know had its default; one that is gone is shown."""
    path = begun / "config.json"
    said = json.loads(path.read_text())
    del said["config"]["data"]["skip_bad"], said["config"]["deterministic"]
    path.write_text(json.dumps(said))
    words = [*RING, *SMALL, f"--workdir={begun}"]
    assert main([*words, "--config.steps=30"]) == 0
    said = json.loads(path.read_text())
    said["config"]["trick"]["forgotten"] = 1.0
    path.write_text(json.dumps(said))
    assert main([*words, "--config.steps=40"]) == 2
    assert "trick.forgotten: 1.0 -> 'no such field'" in capsys.readouterr().err


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A run of 20 steps."""
    folder = tmp_path_factory.mktemp("begun")
    assert main([*RING, *SMALL, "--config.steps=20", f"--workdir={folder}"]) == 0
    return folder
