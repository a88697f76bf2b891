"""Reference statistics: computed once, and refused where they are of something else."""

import io
import json
import zipfile

import numpy as np
import pytest

from gan_jax.data.spec import in_memory
from gan_jax.eval.features import Extractor, Outputs
from gan_jax.eval.frechet import frechet, gaussian
from gan_jax.eval.reference import facts_of, place, reference
from gan_jax.types import UserError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (30, 4, 4, 1), np.uint8)
DATA = in_memory(IMAGES, None, (), "noise")


class Counting:
    """A network of two features that counts its pictures."""

    def __init__(self, keep=True, network="abc", resize="none"):
        self.seen = 0
        self.extractor = Extractor("two", self.apply, network, resize, keep)

    def apply(self, images):
        self.seen += len(images)
        flat = images.reshape(len(images), -1).astype(np.float32)
        return Outputs(np.stack([flat.mean(1), flat.std(1)], axis=1))


def test_the_second_time_comes_from_the_file(tmp_path):
    net, ticks = Counting(), []
    first = reference(DATA, "train", net.extractor, str(tmp_path), ticks.append)
    again = reference(DATA, "train", net.extractor, str(tmp_path), ticks.append)
    assert net.seen == 30 and sum(ticks) == 60
    np.testing.assert_array_equal(first.features, again.features)
    assert frechet(first.moments, again.moments) < 1e-9
    assert frechet(gaussian(first.features), again.moments) < 1e-9
    assert again.facts["n"] == 30 and again.facts["ddof"] == 1


@pytest.mark.parametrize("change", ["split", "network", "resize", "data"])
def test_anything_else_is_computed_anew(change, tmp_path):
    net = Counting()
    reference(DATA, "train", net.extractor, str(tmp_path))
    data = in_memory(IMAGES[::-1], None, (), "noise") if change == "data" else DATA
    other = Counting(**{change: "x"} if change in ("network", "resize") else {})
    split = "test" if change == "split" else "train"
    reference(data, split, other.extractor, str(tmp_path))
    assert other.seen == 30


@pytest.mark.parametrize("fact", ["data", "split", "n", "network", "resize", "ddof"])
def test_a_file_of_something_else_is_refused(fact, tmp_path):
    net = Counting()
    reference(DATA, "train", net.extractor, str(tmp_path))
    path = place(facts_of(DATA, "train", net.extractor), str(tmp_path))
    with np.load(path) as file:
        arrays = dict(file)
    said = json.loads(str(arrays["facts"]))
    said[fact] = 0 if fact in ("n", "ddof") else "another"
    np.savez(path, **{**arrays, "facts": json.dumps(said)})
    with pytest.raises(UserError, match=f"{fact} is .* there and .*remove that file"):
        reference(DATA, "train", net.extractor, str(tmp_path))


def lie(path, member):
    """The header of a member announces 400 GB."""
    with zipfile.ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    head = io.BytesIO()
    shape = {"descr": "<f4", "fortran_order": False, "shape": (10**11,)}
    np.lib.format.write_array_header_1_0(head, shape)
    parts[f"{member}.npy"] = head.getvalue() + bytes(8)
    with zipfile.ZipFile(path, "w") as file:
        for name, content in parts.items():
            file.writestr(name, content)


@pytest.mark.parametrize("how", ["cut", "garbage", "changed", "lying"])
def test_a_damaged_file_is_made_again_and_said(how, tmp_path, capsys):
    net = Counting()
    reference(DATA, "train", net.extractor, str(tmp_path))
    path = place(facts_of(DATA, "train", net.extractor), str(tmp_path))
    whole = path.read_bytes()
    if how == "changed":
        with np.load(path) as file:
            arrays = dict(file)
        np.savez(path, **{**arrays, "mu": arrays["mu"] + 1})
    elif how == "lying":
        lie(path, "features")
    else:
        path.write_bytes(whole[:100] if how == "cut" else b"no zip")
    again = reference(DATA, "train", net.extractor, str(tmp_path))
    assert net.seen == 60 and "damaged" in capsys.readouterr().err
    assert frechet(gaussian(again.features), again.moments) < 1e-9


def test_features_that_cost_nothing_are_not_kept(tmp_path):
    reference(DATA, "train", Counting(keep=False).extractor, str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="GAN_JAX_CACHE"):
        reference(DATA, "train", Counting().extractor, str(tmp_path / "file"))
