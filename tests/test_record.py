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

from gan_jax import board, images, record
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
    with pytest.raises(OSError, match="No space left on device.*metrics.jsonl"):
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
    keys = {"config", "versions", "git", "command", "data", "machine"}
    assert set(read) == keys
    assert read["config"]["optim"]["gen"] == {"lr": 2e-4, "betas": [0.5, 0.999]}
    versions = {"python", "jax", "jaxlib", "flax", "optax", "orbax", "numpy", "gan_jax"}
    assert set(read["versions"]) == versions
    assert read["versions"]["numpy"] == np.__version__
    assert read["command"] == "python launch.py --seed=1"
    older = {"source_shape": [], "paired": False}  # what runs before these facts had
    assert read["data"] == {"shape": [28, 28, 1], **older}
    assert os.listdir(run.workdir) == ["config.json"]


def test_config_errors_name_the_file(tmp_path):
    with pytest.raises(RecordError, match="config.json is missing.*--workdir"):
        read_config(tmp_path)


DAMAGED = {
    "cut": b'{"config": ',
    "empty": b"",
    "binary": bytes(range(256)),
    "zeros": bytes(400),
    "deep": b"[" * 10**6,
    "deep objects": b'{"config":' * 500 + b"1" + b"}" * 500,
    "huge": b'{"config": {}, "x": "' + b"x" * 2**24 + b'"}',
    "list": b"[1, 2]",
    "number": b"3",
    "long number": b'{"config": ' + b"9" * 5000 + b"}",
    "no config": b'{"data": {}}',
    "other config": b'{"config": [1]}',
    "not UTF-8": '{"config": {"loss": "\u00fc"}}'.encode("latin-1"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_config_is_one_sentence_with_a_cure(kind, tmp_path):
    (tmp_path / "config.json").write_bytes(DAMAGED[kind])
    with pytest.raises(RecordError, match="config.json (is damaged|holds no)") as said:
        read_config(tmp_path)
    assert "choose another --workdir" in str(said.value)
    assert len(str(said.value)) < 400 and "\n" not in str(said.value)


def test_a_config_that_lacks_a_fact_names_it(tmp_path):
    text = '{"config": {}, "data": {"digest": "x", "shape": 3}}'
    (tmp_path / "config.json").write_text(text)
    assert read_config(tmp_path, ["digest"])["data"]["digest"] == "x"
    for fact in ("shape", "label_names"):
        with pytest.raises(RecordError, match=f"holds no data.{fact}"):
            read_config(tmp_path, ["digest", fact])


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


def logged(folder, every=10):
    """A folder with rows of steps 10 to 100, and their lines."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"config": {"log_every": every}}))
    rows = [{"step": i, "loss/disc": i / 7} for i in range(10, 101, 10)]
    return [json.dumps(row).encode() + b"\n" for row in rows]


def mended(folder, data, step):
    """What a resume at `step` makes of metrics.jsonl with this content."""
    (folder / "metrics.jsonl").write_bytes(data)
    run = Record(folder)
    run.truncate(step)
    run.check_tail(step)
    return (folder / "metrics.jsonl").read_bytes()


def test_a_file_cut_at_any_byte_loses_no_good_row_and_says_what_is_lost(
    tmp_path, capfd
):
    whole = logged(tmp_path)
    data = b"".join(whole)
    for end in range(len(data)):
        kept = mended(tmp_path, data[:end], 60)
        # a line is there as soon as its last brace is
        good = [
            x for i, x in enumerate(whole) if end >= len(b"".join(whole[: i + 1])) - 1
        ]
        assert kept == b"".join(good[:6]), end
        assert ("LOST" in capfd.readouterr().err) == (len(good) < 6), end


@pytest.mark.parametrize("alphabet", [b"\x00", b"\xff\xfe}{", b"\n\x00[\xc3"])
def test_rubbish_anywhere_is_dropped_and_what_is_lost_is_said(
    alphabet, tmp_path, capfd
):
    whole = logged(tmp_path)
    data, draw = b"".join(whole), np.random.default_rng(len(alphabet))
    told = set()
    for _ in range(100):
        begin, size = (int(x) for x in draw.integers(1, (len(data) - 1, 120)))
        rubbish = bytes(draw.choice(list(alphabet), size).tolist())
        harmed = data[:begin] + rubbish[: len(data) - begin] + data[begin + size :]
        lines = {x + b"\n" for x in harmed.split(b"\n")}
        good = [x for x in whole[:6] if x in lines]
        assert mended(tmp_path, harmed, 60) == b"".join(good)
        text = capfd.readouterr().err
        assert ("LOST" in text) == (len(good) < 6), text
        assert text.count("damaged") <= 8
        told.add(len(good) < 6)
    assert told == {True, False}


def test_rows_that_are_there_twice_are_dropped_aloud(tmp_path, capfd):
    whole = logged(tmp_path)
    data = b"".join([*whole[:4], whole[2], whole[3], *whole[4:]])
    assert mended(tmp_path, data, 60) == b"".join(whole[:6])
    text = capfd.readouterr().err
    assert text.count("there twice") == 2 and "line 5: step 30" in text
    row = {"step": 5, "metric": "fd", "value": 1.0, "by": "eval"}
    lines = [json.dumps(row | {"by": by}) + "\n" for by in 2 * ["training", "eval"]]
    (tmp_path / "eval.jsonl").write_text("".join(lines))
    Record(tmp_path).truncate(60)
    left = columns(tmp_path / "eval.jsonl")
    assert left["by"] == ["training", "eval", "eval"], "asked for twice is no damage"


def test_an_evaluation_of_several_rows_that_lacks_one_says_so(tmp_path, capfd):
    (tmp_path / "config.json").write_text('{"config": {"eval": {"every": 50}}}')
    rows = [
        {"step": i, "metric": m, "value": 1.0, "by": "training"}
        for i in (50, 100, 150)
        for m in "abc"
    ]
    lines = [json.dumps(row) + "\n" for row in rows]
    for place, step, fate in [
        (1, 100, "is LOST"),
        (5, 100, "is LOST"),
        (6, 149, "again"),
    ]:
        harmed = [x if i != place else "{}\n" for i, x in enumerate(lines)]
        (tmp_path / "eval.jsonl").write_text("".join(harmed))
        Record(tmp_path).truncate(step)
        text = capfd.readouterr().err
        assert f"line {place + 1} damaged" in text and fate in text, (place, text)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("metrics.jsonl", {"step": 10, "loss": "low"}),
        ("metrics.jsonl", {"step": 10, "loss": True}),
        ("metrics.jsonl", {"step": True}),
        ("metrics.jsonl", {"step": -1}),
        ("eval.jsonl", {"step": 10, "value": 1.0}),
        ("eval.jsonl", {"step": 10, "metric": "fd", "value": [1]}),
        ("findings.jsonl", {"step": 10}),
    ],
)
def test_a_row_of_other_values_is_damage(name, row, tmp_path, capfd):
    (tmp_path / name).write_text(json.dumps(row) + "\n")
    Record(tmp_path).truncate(60)
    assert (tmp_path / name).read_bytes() == b""
    assert f"{name}, line 1 damaged" in capfd.readouterr().err


def test_what_a_kill_leaves_of_temporary_files_goes(tmp_path):
    (tmp_path / "samples").mkdir()
    for name in (".metrics.jsonl.77.tmp", "samples/.step_00000010.png.77.tmp"):
        (tmp_path / name).write_bytes(b"half")
    Record(tmp_path).truncate(60)
    assert os.listdir(tmp_path) == ["samples"] and not os.listdir(tmp_path / "samples")


@pytest.mark.parametrize("harm", ["cut", "flip"])
def test_a_damaged_event_file_does_not_hide_what_comes_after(harm, tmp_path):
    run = Record(tmp_path)
    for step in (10, 20, 30):
        run.log(step, {"a": 1.0})
    run.close()
    path = next((tmp_path / "tensorboard").iterdir())
    data = path.read_bytes()
    middle = len(data) // 2
    flipped = data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :]
    path.write_bytes(data[:middle] if harm == "cut" else flipped)
    again = Record(tmp_path)
    again.truncate(30)
    for step in (40, 50):
        again.log(step, {"a": 2.0})
    again.close()
    read = [(e.step, e.value) for e in events(tmp_path).Scalars("a")]
    assert read[-2:] == [(40, 2.0), (50, 2.0)]
    assert columns(tmp_path / "metrics.jsonl")["step"] == [10, 20, 30, 40, 50]


@pytest.mark.parametrize("method", ["__init__", "write_event", "flush", "close"])
@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), TypeError("x")]
)
def test_a_failing_tensorboard_is_one_line_and_the_rows_go_on(
    method, error, run, monkeypatch, capfd
):
    from tensorboardX.event_file_writer import EventsWriter

    def fail(*_):
        raise error

    monkeypatch.setattr(EventsWriter, method, fail)
    monkeypatch.setattr(board, "_FLUSH", -1.0)
    for step in range(30):
        run.log(step, {"a": 1.0}, {"h": np.ones(3)})
        run.image(step, picture(step))
    run.close()
    run.close()
    assert len(lines(run.workdir)) == 30
    text = capfd.readouterr().err
    assert text.count("\n") == 1 and "TensorBoard is off" in text and str(error) in text


def test_values_beyond_the_last_bin_are_shown_too(run, capfd):
    run.log(1, {"a": 1.0}, {"h": np.array([3e38, -3e38, 1.0])})
    run.close()
    assert events(run.workdir).Histograms("h")[0].histogram_value.num == 3
    assert capfd.readouterr().err == ""


def test_pictures_that_cannot_be_written_stop_nothing(run, monkeypatch, capfd):
    run.image(1, picture(1))
    (run.workdir / "samples" / "step_00000002.png").write_bytes(b"no picture")
    assert run.gif() is None
    assert "training.gif is not made" in capfd.readouterr().err
    monkeypatch.setattr(
        images, "write_atomic", lambda *_: os.open("/no/such", os.O_RDONLY)
    )
    for step in range(3, 9):
        run.image(step, picture(step))
        run.log(step, {"a": 1.0})
    text = capfd.readouterr().err
    assert text.count("\n") == 1 and "/no/such" in text
    assert len(lines(run.workdir)) == 6
