"""Which network compares, what it is fed, and what its results are called."""

import numpy as np
import pytest

from gan_jax import data
from gan_jax.data.spec import DataSpec, in_memory
from gan_jax.eval import alexnet, features, fetch, inception
from gan_jax.eval.judge import Judge
from gan_jax.eval.metrics import inception_score
from gan_jax.types import UserError

CLOTHES = data.load(DataSpec())
FEW = in_memory(
    CLOTHES.images[:200], CLOTHES.labels[:200], CLOTHES.label_names, "fashion_mnist"
)
BARE = in_memory(CLOTHES.images[:20], None, (), "bare")


@pytest.fixture
def stub(monkeypatch, tmp_path):
    """An Inception of eight random directions; returns what it was shown."""
    shown, random = [], np.random.default_rng(0)
    directions = random.normal(size=(28 * 28 * 3, 8))
    path = tmp_path / "weights.pth"
    path.write_bytes(b"weights")

    def apply(params, images):
        shown.append(images)
        pool = (images.reshape(len(images), -1) / 255 @ directions).astype(np.float32)
        return {"pool": pool, "logits": 2 * pool, "logits_no_bias": pool}

    monkeypatch.setattr(inception, "load", lambda path: {})
    monkeypatch.setattr(inception, "apply", apply)
    return str(path), shown


def test_the_canonical_network_gives_fid_and_bare_names(stub, tmp_path):
    weights, shown = stub
    judge = Judge(DataSpec(cache_dir=str(tmp_path)), FEW, weights=weights)
    asked = judge.requests("fid,kid,is,pr", "auto")  # auto: its weights are there
    values = judge.measure(asked, CLOTHES.images[200:300])
    assert [v.name for v in values] == ["fid", "kid", "is", "precision", "recall", "f1"]
    said = values[0].protocol
    assert said["network"] == inception.digest(weights)
    assert said["resize"] == "TF1 bilinear to 299, (x - 128) / 128"
    assert all(x.shape[1:] == (28, 28, 3) for x in shown)
    np.testing.assert_array_equal(shown[0][..., 0], shown[0][..., 2])
    pool = inception.apply({}, CLOTHES.images[200:300].repeat(3, -1))["pool"]
    assert values[2].value == pytest.approx(inception_score(pool)[0])


def test_fid_without_weights_is_refused_with_what_works(monkeypatch, tmp_path):
    monkeypatch.delenv("GAN_JAX_INCEPTION", raising=False)
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path))
    monkeypatch.setattr(fetch, "_URL", "http://127.0.0.1:9/weights.pth")
    judge = Judge(DataSpec(), FEW)
    with pytest.raises(UserError, match=r"--inception-weights=PATH.*classifier"):
        judge.prepare(judge.requests("fid"))


def test_auto_is_the_first_that_needs_no_download(monkeypatch, tmp_path):
    monkeypatch.delenv("GAN_JAX_INCEPTION", raising=False)
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path))
    ring = data.load(DataSpec(source="ring"))
    assert features.choose("auto", CLOTHES, "some.pth") == "inception"
    assert features.choose("auto", CLOTHES) == "classifier"
    assert features.choose("auto", BARE) == "alexnet"
    assert features.choose("auto", ring) == "raw"
    monkeypatch.setattr(alexnet, "find", lambda: None)
    assert features.choose("auto", BARE) == "raw"
    with pytest.raises(UserError, match="unknown features 'vgg'; choices: inception"):
        features.choose("vgg", BARE)


def test_alexnet_takes_grey_pictures(tmp_path):
    extractor = features.make("alexnet", BARE)
    out = extractor.apply(BARE.images)
    colour = extractor.apply(BARE.images.repeat(3, axis=-1))
    assert out.features.shape == (20, 896) and out.logits is None
    np.testing.assert_array_equal(out.features, colour.features)


def test_blocks_and_ticks_are_the_whole(monkeypatch):
    monkeypatch.setattr(features, "BLOCK", 7)
    ticks = []
    blocks = features.in_blocks(BARE.images)
    out = features.extract(features.make("raw", BARE), blocks, ticks.append)
    assert ticks == [7, 7, 6]
    np.testing.assert_array_equal(
        out.features, BARE.images.reshape(20, -1) / np.float32(255)
    )
