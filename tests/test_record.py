"""The run folder: rows, truncation, TensorBoard, configuration, progress."""

import io
import json
import os
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from gan_jax import record
from gan_jax.record import Record, RecordError, columns, read_config


def lines(folder, name="metrics.jsonl"):
    return (folder / name).read_text().splitlines()


def picture(value):
    return np.full((8, 8, 3), value, np.uint8)


@pytest.fixture
def run(tmp_path):
    made = Record(tmp_path / "run")
    yield made
    made.close()


def test_rows_are_strict_json_and_exact(run):
    values = np.random.default_rng(0).normal(size=200).astype(np.float32)
    values[:3] = 1e-45, 3.4e38, -0.0
    for i, value in enumerate(values):
        run.log(i, {"loss/disc": value, "one": 1})
    for i, value in enumerate(values):
        row = json.loads(lines(run.workdir)[i])
        assert list(row) == ["step", "loss/disc", "one"] and row["step"] == i
        assert np.float32(row["loss/disc"]).tobytes() == value.tobytes()


def test_equal_values_have_equal_text(run):
    x = np.float32(0.1)
    for value in (x, float(x), jnp.float32(0.1), np.float64(x), jnp.asarray(x)):
        run.log(1, {"a": value})
    assert len(set(lines(run.workdir))) == 1


def test_non_finite_numbers_are_null_and_quiet(run, capfd):
    run.log(3, {"a": float("nan"), "b": np.float32(np.inf), "c": 2})
    assert lines(run.workdir) == ['{"step": 3, "a": null, "b": null, "c": 2.0}']
    run.log(3, {"a": 1.0}, {"h": np.array([np.nan, 1.0]), "none": np.zeros(0)})
    run.close()
    assert capfd.readouterr() == ("", "")


def test_line_is_on_disk_when_log_returns(run, monkeypatch):
    synced = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda f: (synced.append(f), real(f)))
    run.log(1, {"a": 1.0})
    count = len(synced)
    run.log(2, {"a": 1.0})
    assert len(synced) == count + 1  # one a line
    assert len(lines(run.workdir)) == 2  # while the file is still open


def test_columns(run):
    run.log(1, {"a": 1.0})
    run.log(2, {"a": float("nan"), "b": 2.0})
    path = run.workdir / "metrics.jsonl"
    with path.open("a") as file:
        file.write('{"step": 3, "a"')
    expected = {"step": [1, 2], "a": [1.0, None], "b": [None, 2.0]}
    assert columns(path) == expected
    assert np.isnan(np.array(columns(path)["a"], float)).tolist() == [False, True]
    assert columns(run.workdir / "none.jsonl") == {}
    path.write_text('{"step": 1}\n{"st\x00ep": 2}\n{"step": 3}\n')
    with pytest.raises(RecordError, match="metrics.jsonl, line 2 "):
        columns(path)


def test_partial_line_does_not_swallow_the_next_row(run):
    run.log(1, {"a": 1.0})
    run.close()
    with (run.workdir / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "a": 2')
    again = Record(run.workdir)
    again.log(2, {"a": 3.0})
    again.close()
    assert columns(run.workdir / "metrics.jsonl") == {"step": [1, 2], "a": [1.0, 3.0]}


def test_disk_full_leaves_no_half_line(run):
    class Full(io.BytesIO):
        def write(self, data):
            return super().write(data[: len(data) // 2])

    run._files["metrics.jsonl"] = file = Full(b'{"step": 1}\n')
    with pytest.raises(OSError, match="metrics.jsonl: disk full"):
        run.append("metrics.jsonl", {"step": 2, "a": 1.0})
    assert file.getvalue() == b'{"step": 1}\n'


def test_truncate_gives_the_bytes_of_a_run_that_stopped_there(tmp_path):
    def write(folder, last):
        run = Record(folder)
        for step in range(0, last + 1, 10):
            run.log(step, {"a": np.float32(step / 7)})
            run.image(step, picture(step))
        run.append("findings.jsonl", {"step": 10, "finding": "healthy"})
        return run

    short, run = write(tmp_path / "short", 30), write(tmp_path / "long", 90)
    run.append("findings.jsonl", {"step": 40, "finding": "divergence"})
    run.gif()
    with (run.workdir / "metrics.jsonl").open("a") as file:
        file.write('{"step": 100, "a')
    run.truncate(39)
    for made in (short, run):
        made.log(40, {"a": 1.0})
        made.close()
    for name in ("metrics.jsonl", "findings.jsonl"):
        whole = (short.workdir / name).read_bytes()
        assert (run.workdir / name).read_bytes() == whole and whole
    names = [sorted(os.listdir(r.workdir / "samples")) for r in (short, run)]
    assert names[0] == names[1] == [f"step_{i:08d}.png" for i in (0, 10, 20, 30)]
    assert not (run.workdir / "eval.jsonl").exists()


def test_truncate_drops_a_damaged_line_aloud(run, capfd):
    path = run.workdir / "metrics.jsonl"
    path.write_text('{"step": 1}\nrubbish\n[2]\n{"step": 3}\n')
    run.truncate(5)
    assert lines(run.workdir) == ['{"step": 1}', '{"step": 3}']
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 2 and f"{path}, line 2 " in err


def test_truncate_of_an_empty_folder(run):
    run.truncate(0)
    assert os.listdir(run.workdir) == []


def events(folder):
    # Its loader warns of its own use of NumPy on some versions: only what we wrote is tested here.
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(
        str(folder / "tensorboard"), size_guidance={"histograms": 0, "images": 0}
    )
    return read.Reload()


def test_tensorboard_reads_everything_back(run):
    values = np.linspace(-1, 1, 101)
    run.log(5, {"loss/disc": 0.5, "bad": float("inf")}, {"logits/real": values})
    run.log(10, {"loss/disc": 0.25}, {"logits/real": np.zeros(4)})
    run.image(10, images_grey := np.zeros((6, 4, 1), np.uint8))
    run.close()
    read = events(run.workdir)
    assert read.Tags()["scalars"] == ["loss/disc"]
    assert [(e.step, e.value) for e in read.Scalars("loss/disc")] == [
        (5, 0.5),
        (10, 0.25),
    ]
    first = read.Histograms("logits/real")[0]
    assert first.step == 5 and first.histogram_value.num == 101
    assert abs(first.histogram_value.sum) < 1e-9
    image = read.Images("samples")[0]
    assert (image.height, image.width) == images_grey.shape[:2]
    with Image.open(io.BytesIO(image.encoded_image_string)) as shown:
        assert shown.size == (4, 6)


def test_each_start_has_its_own_event_file_and_hides_undone_steps(run):
    for step in (10, 20, 30):
        run.log(step, {"a": 1.0})
    run.close()
    again = Record(run.workdir)
    again.truncate(10)
    again.log(20, {"a": 2.0})
    again.close()
    assert len(list((run.workdir / "tensorboard").iterdir())) == 2
    read = [(e.step, e.value) for e in events(run.workdir).Scalars("a")]
    assert read == [(10, 1.0), (20, 2.0)]


def test_nothing_is_opened_before_it_is_needed(run):
    run.append("eval.jsonl", {"step": 1, "metric": "fid", "value": np.float64(3)})
    assert os.listdir(run.workdir) == ["eval.jsonl"]
    row = {"step": 2, "value": float("nan"), "protocol": {"n": np.int64(5), "s": (1,)}}
    run.append("eval.jsonl", row)
    last = '{"step": 2, "value": null, "protocol": {"n": 5, "s": [1]}}'
    assert lines(run.workdir, "eval.jsonl")[1] == last


def test_images_and_gif(run):
    assert run.gif() is None
    for step in (1000, 2000, 30000):
        path = run.image(step, picture(step // 1000))
        assert path.name == f"step_{step:08d}.png"
    (run.workdir / "samples" / "step_note.png").write_bytes(b"not ours")
    with Image.open(run.gif()) as gif:
        assert gif.n_frames == 3
    assert os.listdir(run.workdir / "samples").count("training.gif") == 1


def test_config_round_trip(run):
    config = {"seed": 1, "optim": {"gen": {"lr": 2e-4, "betas": (0.5, 0.999)}}}
    run.write_config(config, "python launch.py --seed=1", {"shape": (28, 28, 1)})
    read = read_config(run.workdir)
    assert set(read) == {"config", "versions", "git", "command", "data"}
    assert read["config"]["optim"]["gen"] == {"lr": 2e-4, "betas": [0.5, 0.999]}
    versions = {"python", "jax", "jaxlib", "flax", "optax", "orbax", "numpy", "gan_jax"}
    assert set(read["versions"]) == versions
    assert read["versions"]["numpy"] == np.__version__
    assert read["command"] == "python launch.py --seed=1"
    assert read["data"] == {"shape": [28, 28, 1]}
    assert os.listdir(run.workdir) == ["config.json"]


def test_config_errors_name_the_file(tmp_path):
    with pytest.raises(RecordError, match="config.json is missing.*--workdir"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text('{"config": ')
    with pytest.raises(RecordError, match="config.json is damaged"):
        read_config(tmp_path)


def test_git_commit_or_none_without_noise(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(record, "__file__", str(tmp_path / "record.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert record._commit() is None
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", *author, *command], cwd=tmp_path, env=clean, check=True)
    # A hook's environment must not lead elsewhere.
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert len(record._commit()) == 40
    monkeypatch.setenv("PATH", str(tmp_path))
    assert record._commit() is None
    assert capfd.readouterr().err == ""


def test_reading_needs_no_jax():
    code = (
        "import sys; import gan_jax.record; "
        "sys.exit(any(m in sys.modules for m in ('jax', 'orbax', 'PIL', 'tensorboardX')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
