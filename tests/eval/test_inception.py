import hashlib
import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.eval import inception, weights
from gan_jax.models import inception as network
from gan_jax.types import UserError
from tests.golden import make_inception as golden

TOLERANCE = 2e-5  # of the largest; the nearest mistake is at 7e-4


@pytest.fixture(scope="module")
def file():
    with np.load(golden.FILE) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def state(file):
    return golden.state(json.loads(str(file["shapes"])))


@pytest.fixture(scope="module")
def params(state):
    return inception.from_torch_state(state)


def far(got, right):
    return abs(got - right).max() / abs(right).max()


@pytest.mark.parametrize("name", golden.SHAPES)
def test_every_tap_is_torch_fidelitys(file, params, name):
    got = inception.apply(params, golden.pictures()[name])
    assert got.keys() == golden.TAPS.keys()
    for tap, value in got.items():
        right = file[f"{name}.{tap}"]
        assert value.dtype == np.float32 and value.shape == right.shape
        assert 0.5 < right.std() < 2
        assert far(value, right) < TOLERANCE


def test_a_picture_is_judged_by_itself(params):
    """Not by its batch: more pictures than one call takes, the last call not full, in order."""
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
    together = inception.apply(params, images)
    for at in (0, 3, 4):
        alone = inception.apply(params, images[at : at + 1])
        for tap, value in alone.items():
            assert far(together[tap][at], value[0]) < 1e-6
    assert far(together["pool"][0], together["pool"][4]) > 1e-2


def counted(x):
    total = network._pad(x, 0.0)
    for axis in (1, 2):
        total = sum(network._taps(total, axis, 1))
    return total / 9


def half_pixel(images):
    shape = (len(images), 299, 299, 3)
    y = jax.image.resize(images.astype(jnp.float32), shape, "linear", antialias=False)
    return (y - 128) / 128


def scale(images):
    y = inception.resize_tf1(images.astype(jnp.float32), (299, 299))
    return (y - 127.5) / 127.5


MUTANTS = {  # where, what, by what
    "mean in 7c": (network, "max_pool_same", network.mean_pool),
    "padding counted": (network, "mean_pool", counted),
    "eps 1e-5": (network, "EPSILON", 1e-5),
    "half pixel": (inception, "_inputs", half_pixel),
    "scale 127.5": (inception, "_inputs", scale),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_the_numbers_refuse_each_mistake(file, params, name, monkeypatch):
    """And the mistake takes our features as far away as it takes torch-fidelity's."""
    where, what, mistake = MUTANTS[name]
    monkeypatch.setattr(where, what, mistake)
    if where is network:  # else the compiled network serves
        anew = jax.jit(lambda p, x: network.Inception().apply({"params": p}, x))
        monkeypatch.setattr(inception, "_network", lambda size: anew)
    got = inception.apply(params, golden.pictures()["up"])["pool"]
    distance = far(got, file["up.pool"])
    assert distance > 20 * TOLERANCE
    assert distance == pytest.approx(file[f"up.{name}"], rel=0.01)


@pytest.mark.parametrize("name", golden.RESIZES)
def test_resize_has_tensorflows_bits(file, name):
    image, size = golden.small(name)
    for resize in (
        inception.resize_tf1,
        jax.jit(inception.resize_tf1, static_argnums=1),
    ):
        np.testing.assert_array_equal(resize(image, size), file[name])
    # what others do is not that
    shape = (1, *size, 3)
    assert abs(jax.image.resize(image, shape, "linear") - file[name]).max() > 1


@pytest.mark.parametrize("name", golden.SHAPES)
def test_resize_to_299_has_tensorflows_bits(file, name):
    resize = jax.jit(partial(inception.resize_tf1, size=(299, 299)))
    got = resize(golden.pictures()[name].astype(np.float32))
    assert golden.digest(got) == str(file[f"{name}.resize"])


def test_resize_by_hand():
    """Two pixels to four: at 0, 0.5, 1 and 1.5, where the last repeats. Four to two: every second."""
    x = np.array([10.0, 20.0], np.float32).reshape(1, 1, 2, 1)
    wide = inception.resize_tf1(x, (1, 4))
    np.testing.assert_array_equal(wide[0, 0, :, 0], [10, 15, 20, 20])
    high = inception.resize_tf1(x.reshape(1, 2, 1, 1), (4, 1))
    np.testing.assert_array_equal(high[0, :, 0, 0], [10, 15, 20, 20])
    row = np.array([1.0, 9.0, 3.0, 7.0], np.float32).reshape(1, 1, 4, 1)
    np.testing.assert_array_equal(inception.resize_tf1(row, (1, 2))[0, 0, :, 0], [1, 3])


def test_pools_by_hand():
    x = jnp.arange(9.0).reshape(1, 3, 3, 1)
    mean = network.mean_pool(x)[0, ..., 0]
    np.testing.assert_allclose(mean, [[2, 2.5, 3], [3.5, 4, 4.5], [5, 5.5, 6]])
    largest = network.max_pool_same(-x)[0, ..., 0]
    np.testing.assert_array_equal(-largest, [[0, 0, 1], [0, 0, 1], [3, 3, 4]])
    assert network.max_pool(jnp.tile(x, (1, 2, 2, 1)), 2).shape == (1, 2, 2, 1)


@pytest.mark.parametrize("stride, channels", [(1, 5), (2, 5), (2, 3)])
def test_the_forms_on_a_cpu_are_the_convolution(stride, channels):
    random = np.random.default_rng(0)
    x = jnp.asarray(random.normal(size=(2, 11, 9, channels)), jnp.float32)
    w = jnp.asarray(random.normal(size=(3, 3, channels, 4)), jnp.float32)
    right = jax.jit(network._xla, static_argnums=(2, 3))(x, w, stride, ((0, 0),) * 2)
    got = jax.jit(network._on_cpu, static_argnums=2)(x, w, stride)
    np.testing.assert_allclose(got, right, rtol=1e-5, atol=1e-5)


def test_there_and_back_bit_for_bit(state, params):
    back = inception.to_torch_state(params)
    assert back.keys() == state.keys()
    for name, array in state.items():
        assert back[name].dtype == array.dtype and back[name].shape == array.shape
        assert back[name].tobytes() == array.tobytes(), name
    counters = {
        name.replace("running_var", "num_batches_tracked"): np.array(0)
        for name in state
        if name.endswith("running_var")
    }
    again = inception.from_torch_state({**state, **counters})
    jax.tree.map(np.testing.assert_array_equal, again, params)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"fc.bias": None}, "missing: fc.bias$"),
        ({"fc.what": np.zeros(3)}, "unexpected: fc.what$"),
        ({"fc.num_batches_tracked": np.array(0)}, "unexpected: fc.num_batches_tracked"),
        (
            {"fc.weight": np.zeros((1000, 2048), np.float32)},
            r"fc.weight \(float32 \[1000, 2048\], not float \[1008, 2048\]\)",
        ),
        (
            {"Mixed_5b.branch1x1.conv.weight": np.zeros((64, 192, 1, 1), int)},
            r"branch1x1.conv.weight \(int64 \[64, 192, 1, 1\], not float ",
        ),
    ],
)
def test_wrong_arrays_are_named(state, change, message):
    arrays = {k: v for k, v in {**state, **change}.items() if v is not None}
    with pytest.raises(UserError, match=message):
        inception.from_torch_state(arrays)


def test_of_many_wrong_arrays_the_first_are_named(state):
    torchvision = {f"module.{name}": array for name, array in state.items()}
    with pytest.raises(UserError) as error:
        inception.from_torch_state(torchvision)
    text = str(error.value)
    assert "missing: Conv2d_1a_3x3.bn.bias, Conv2d_1a_3x3.bn.running_mean, " in text
    assert "and 469 more; unexpected: module.Conv2d_1a_3x3.bn.bias, " in text
    assert len(text) < 500


def test_load_looks_at_the_digest_first(tmp_path, monkeypatch, state, params):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"something else")
    found = hashlib.sha256(b"something else").hexdigest()
    assert inception.digest(path) == found
    read = []
    monkeypatch.setattr(weights, "read_torch", lambda p: read.append(p) or state)
    with pytest.raises(UserError, match=f"sha256 {found}; .*6726825d.pth"):
        inception.load(path)
    assert read == []
    monkeypatch.setattr(inception, "digest", lambda p: "6726825d" + 56 * "0")
    jax.tree.map(np.testing.assert_array_equal, inception.load(path), params)
    assert read == [path]


def test_load_without_a_file(tmp_path):
    with pytest.raises(UserError, match="cannot read .*none.pth.*pt_inception-2015"):
        inception.load(tmp_path / "none.pth")


@pytest.mark.parametrize(
    "images, message",
    [
        (np.zeros((2, 8, 8, 1), np.uint8), r"grey, uint8 \[2, 8, 8, 1\]; repeat"),
        (np.zeros((2, 8, 8, 4), np.uint8), "of three channels"),
        (np.zeros((0, 8, 8, 3), np.uint8), r"at least one, not uint8 \[0, 8, 8, 3\]"),
        (np.zeros((2, 0, 8, 3), np.uint8), "at least one"),
        (np.zeros((2, 8, 8, 3), np.float32), "not float32"),
        (np.zeros((8, 8, 3), np.uint8), r"not uint8 \[8, 8, 3\]"),
    ],
)
def test_other_pictures_are_refused(images, message):
    with pytest.raises(UserError, match=message):
        inception.apply({}, images)
