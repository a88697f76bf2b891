"""`dcgan_celeba.py` on CelebA-shaped pictures: a folder, a zip, TensorFlow Datasets."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from gan_jax import data
from gan_jax.cli import main
from gan_jax.record import columns

CONFIG = Path(__file__).parents[1] / "configs/dcgan_celeba.py"
QUICK = [f"--config={CONFIG}:smoke", "--config.steps=2", "--config.log_every=1"]
QUICK.append("--config.monitor=false")


@pytest.fixture(autouse=True)
def own_places(tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GAN_JAX_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()


def faces(n=12):
    """JPEG files 178 wide and 218 high, as {name: bytes}."""
    files = {}
    for i, picture in enumerate(data.load(data.DataSpec("emoji")).images[:n]):
        buffer = io.BytesIO()
        Image.fromarray(picture).resize((178, 218)).save(buffer, "JPEG", quality=90)
        files[f"{i + 1:06d}.jpg"] = buffer.getvalue()
    return files


def as_folder(place):
    (place / "img_align_celeba").mkdir()
    for name, content in faces().items():
        (place / "img_align_celeba" / name).write_bytes(content)


def as_zip(place):
    with zipfile.ZipFile(place / "img_align_celeba.zip", "w") as archive:
        for name, content in faces().items():
            archive.writestr(f"img_align_celeba/{name}", content)


def check(workdir):
    rows = columns(workdir / "metrics.jsonl")
    assert rows["step"] == [1, 2] and np.all(np.isfinite(rows["loss/gen"]))
    grid = np.asarray(Image.open(workdir / "samples/step_00000002.png"))
    assert grid.shape[2] == 3 and grid.shape[0] > 8 * 64


@pytest.mark.parametrize("make", [as_folder, as_zip])
def test_trains_on_files(make, tmp_path, capsys):
    make(tmp_path / "data")
    assert main([*QUICK, f"--workdir={tmp_path / 'run'}"]) == 0
    assert "12 of 64x64x3" in capsys.readouterr().err
    check(tmp_path / "run")


def test_trains_through_tfds(tmp_path):
    source = "--config.data.source=tfds:celeb_a"
    with tfds.testing.mock_data(num_examples=12):
        assert main([*QUICK, source, f"--workdir={tmp_path / 'run'}"]) == 0
    check(tmp_path / "run")


def test_without_the_data_it_says_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    assert main([f"--config={CONFIG}", f"--workdir={tmp_path / 'run'}"]) == 2
    text = capsys.readouterr().err
    assert "img_align_celeba.zip" in text and "GAN_JAX_DATA" in text
    assert not (tmp_path / "run").exists()
