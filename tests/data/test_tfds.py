import io

import numpy as np
import pytest
import tensorflow_datasets as real

from gan_jax.data import DataError, DataSpec, available, load, tfds

from .files import encode


@pytest.mark.parametrize(
    "name, shape", [("mnist", (7, 28, 28, 1)), ("celeb_a", (7, 178, 178, 3))]
)
def test_mocked_datasets(name, shape, capfd):
    with real.testing.mock_data(num_examples=7):
        data = load(DataSpec(source=f"tfds:{name}"))
        small = load(
            DataSpec(source=f"tfds:{name}", crop=20, resolution=10, split="test")
        )
    assert data.images.shape == shape and len(np.unique(data.images)) > 200
    assert small.images.shape == (7, 10, 10, shape[-1])
    if name == "mnist":
        assert data.labels.shape == (7,) and data.label_names == tuple("0123456789")
    else:
        assert data.labels is None and data.label_names == ()


def test_celeba_falls_back_on_tfds(monkeypatch):
    monkeypatch.setattr(tfds, "available", lambda name: name == "celeb_a")
    assert available("celeba")
    with real.testing.mock_data(num_examples=3):
        data = load(DataSpec(source="celeba", crop=108, resolution=64))
    assert data.images.shape == (3, 64, 64, 3) and data.name == "celeba"


def pixels(i):
    return np.random.default_rng(i).integers(0, 256, (20, 16, 3), np.uint8)


class TinyPictures(real.core.GeneratorBasedBuilder):
    """A real dataset, prepared as array_record without TensorFlow."""

    VERSION = real.core.Version("1.0.0")

    def _info(self):
        return self.dataset_info_from_configs(
            features=real.features.FeaturesDict(
                {
                    "image": real.features.Image(shape=(20, 16, 3)),
                    "label": real.features.ClassLabel(names=["even", "odd"]),
                }
            )
        )

    def _split_generators(self, dl_manager):
        return {
            "train": self._generate_examples(0, 6),
            "test": self._generate_examples(6, 9),
        }

    def _generate_examples(self, begin, end):
        for i in range(begin, end):
            yield i, {"image": io.BytesIO(encode(pixels(i))), "label": i % 2}


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The builder behind the name tiny_pictures, not prepared yet."""
    builder = TinyPictures(data_dir=tmp_path / "tfds", file_format="array_record")
    monkeypatch.setattr(tfds, "_builder", lambda name: builder)
    return builder


def test_prepares_reads_and_caches(tiny, monkeypatch, capfd):
    assert not available("tfds:tiny_pictures")
    train = load(DataSpec(source="tfds:tiny_pictures"))
    assert capfd.readouterr().out == ""
    assert available("tfds:tiny_pictures")
    test = load(DataSpec(source="tfds:tiny_pictures", split="test"))
    both = load(DataSpec(source="tfds:tiny_pictures", split="all"))
    part = load(DataSpec(source="tfds:tiny_pictures", split="train[:50%]"))
    assert [len(d.images) for d in (train, test, both, part)] == [6, 3, 9, 3]
    assert train.images.shape == (6, 16, 16, 3) and train.label_names == ("even", "odd")
    known = {pixels(i)[2:18].tobytes(): i % 2 for i in range(6)}
    assert [known[x.tobytes()] for x in train.images] == train.labels.tolist()
    monkeypatch.setattr(
        "gan_jax.data.cache.decode", None
    )  # a second load does not decode
    assert load(DataSpec(source="tfds:tiny_pictures")).digest == train.digest
    with pytest.raises(
        DataError, match="no split 'valid'; choices: test, train|train, test"
    ):
        load(DataSpec(source="tfds:tiny_pictures", split="valid"))


def test_unknown_dataset():
    with pytest.raises(DataError, match="TFDS has no dataset 'no_such_set'"):
        load(DataSpec(source="tfds:no_such_set"))
    assert not available("tfds:no_such_set")
    with pytest.raises(
        DataError, match="TFDS cannot make 'mnist/none': .*BuilderConfig none not"
    ):
        load(DataSpec(source="tfds:mnist/none"))


COMMANDS = "pip install tensorflow-cpu\n.*tfds.builder\\('tiny_pictures'\\).download_and_prepare\\(file_format='array_record'\\)"


def test_without_tensorflow_the_commands_are_given(tiny, monkeypatch):
    def download_and_prepare(**kwargs):
        raise ModuleNotFoundError("No module named 'tensorflow'")

    monkeypatch.setattr(tiny, "download_and_prepare", download_and_prepare)
    with pytest.raises(DataError, match=f"needs TensorFlow(.|\n)*{COMMANDS}"):
        load(DataSpec(source="tfds:tiny_pictures"))


def test_failed_download_points_to_the_zip(tiny, monkeypatch):
    def download_and_prepare(**kwargs):
        raise real.core.download.download_manager.NonMatchingChecksumError(
            "Artifact https://x\nwrong"
        )

    monkeypatch.setattr(tiny, "download_and_prepare", download_and_prepare)
    with pytest.raises(
        DataError, match="NonMatchingChecksumError: Artifact(.|\n)*source=zip:FILE"
    ):
        load(DataSpec(source="tfds:tiny_pictures"))


def test_tfrecord_says_how_to_prepare_again(tiny, monkeypatch):
    def as_data_source(**kwargs):
        raise NotImplementedError("tfrecord")

    tiny.download_and_prepare(file_format="array_record")
    monkeypatch.setattr(tiny, "as_data_source", as_data_source)
    with pytest.raises(
        DataError,
        match=f"without random access(.|\n)*export TFDS_DATA_DIR(.|\n)*{COMMANDS}",
    ):
        load(DataSpec(source="tfds:tiny_pictures"))


def test_looking_for_a_dataset_is_silent(capfd):
    assert not available("tfds:no_such_set:1.0.0") and not available("tfds:mnist/none")
    with real.testing.mock_data(num_examples=1):
        assert not available("tfds:mnist")
    assert capfd.readouterr() == ("", "")
