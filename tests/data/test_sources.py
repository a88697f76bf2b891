import numpy as np
import pytest

from gan_jax.data import SOURCES, DataError, Dataset, DataSpec, available, load


def own(spec):
    return Dataset(np.zeros((3, 4, 4, 1), np.uint8), None, (), spec.source, "0")


def wrong(spec):
    return 3


@pytest.mark.parametrize(
    "source", [n for n, row in SOURCES.items() if n != "celeba" and not row.argument]
)
def test_plain_sources_need_nothing(source):
    data = load(DataSpec(source=source))
    assert available(source) and data.name == source and SOURCES[source].help
    assert len(data.digest) == 64 and not data.images.flags.writeable
    if source == "swiss_roll":
        assert data.labels is None and data.label_names == ()
    else:
        assert data.labels.max() + 1 == len(data.label_names)
        assert not data.labels.flags.writeable


def test_unknown_names():
    for function in (available, lambda source: load(DataSpec(source=source))):
        with pytest.raises(
            ValueError,
            match="'fashon_mnist'; did you mean 'fashion_mnist'.*choices: .*grid",
        ):
            function("fashon_mnist")
        with pytest.raises(ValueError, match="'foldr'; did you mean 'folder'"):
            function("foldr:pictures")
        with pytest.raises(
            ValueError, match="cannot import data source 'no_such_package:x'"
        ):
            function("no_such_package:x")


@pytest.mark.parametrize(
    "bad, good", [("folder", "folder:DIR"), ("zip:", "zip:FILE"), ("ring:3", "ring$")]
)
def test_argument_too_many_or_missing(bad, good):
    with pytest.raises(
        DataError, match=f"{bad!r} is written --config.data.source={good}"
    ):
        load(DataSpec(source=bad))


def test_negative_numbers():
    with pytest.raises(DataError, match="0 or more, not -1 and 0"):
        load(DataSpec(resolution=-1))


def test_ones_own_source():
    assert load(DataSpec(source=f"{__name__}:own")).images.shape == (3, 4, 4, 1)
    assert available(f"{__name__}:own")
    with pytest.raises(DataError, match="must return a gan_jax.data.Dataset, not int"):
        load(DataSpec(source=f"{__name__}:wrong"))


def test_availability_of_paths(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"")
    assert available(f"folder:{tmp_path}") and not available(f"folder:{tmp_path}/none")
    assert available(f"zip:{tmp_path}/x.zip") and not available(f"zip:{tmp_path}")
    assert available(f"npz:{tmp_path}/x.zip") and not available(f"npz:{tmp_path}")
    assert available(f"idx:{tmp_path}") and not available(f"idx:{tmp_path}/none")
    for place in (tmp_path, tmp_path / "x.zip"):
        assert available(f"cifar10:{place}")
    assert not available(f"cifar10:{tmp_path}/none")
