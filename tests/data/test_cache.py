import json
import os

import numpy as np
import pytest

from gan_jax.data import DataError, DataSpec, cache, load, pool
from gan_jax.data.spec import hasher

from .files import encode, write_folder, write_zip


def picture(value):
    return encode(np.full((8, 8), value, np.uint8))


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "set", {f"{i}.png": picture(i) for i in range(5)})


@pytest.fixture
def decoded(monkeypatch):
    """A list that grows by one for each decoded picture."""
    calls = []
    true = cache.decode
    monkeypatch.setattr(cache, "decode", lambda *args: calls.append(1) or true(*args))
    return calls


def entries(tmp_path):
    return sorted(p.name for p in (tmp_path / "cache").iterdir())


def test_second_load_only_opens(folder, decoded, tmp_path):
    spec = DataSpec(source=f"folder:{folder}")
    first = load(spec)
    assert len(decoded) == 5 and first.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
    second = load(spec)
    assert len(decoded) == 5 and second.digest == first.digest
    np.testing.assert_array_equal(first.images, second.images)
    expected = hasher((5, 8, 8, 1), np.uint8)
    expected.update(first.images.tobytes())
    assert first.digest == expected.hexdigest()
    assert len(entries(tmp_path)) == 1


@pytest.mark.parametrize("changed", [{"crop": 4}, {"resolution": 4}])
def test_another_shape_is_another_entry(folder, decoded, tmp_path, changed):
    load(DataSpec(source=f"folder:{folder}"))
    assert load(DataSpec(source=f"folder:{folder}", **changed)).images.shape == (
        5,
        4,
        4,
        1,
    )
    assert len(decoded) == 10 and len(entries(tmp_path)) == 2


@pytest.mark.parametrize("change", ["content", "touch", "added", "removed", "renamed"])
def test_changed_folder_is_noticed(folder, decoded, tmp_path, change):
    spec = DataSpec(source=f"folder:{folder}")
    before = load(spec)
    if change == "content":
        (folder / "0.png").write_bytes(
            encode(np.full((8, 8), 200, np.uint8), compress_level=0)
        )
    elif change == "touch":
        os.utime(folder / "0.png", ns=(1, 1))
    elif change == "added":
        (folder / "5.png").write_bytes(picture(5))
    elif change == "removed":
        (folder / "0.png").unlink()
    else:
        (folder / "0.png").rename(folder / "9.png")
    after = load(spec)
    assert len(decoded) > 5 and (after.digest == before.digest) == (change == "touch")
    assert len(entries(tmp_path)) == 1  # replaced, not piled up
    assert before.images[:, 0, 0, 0].tolist() == [
        0,
        1,
        2,
        3,
        4,
    ]  # an open map outlives the change


def test_changed_zip_is_noticed(tmp_path, decoded):
    path = write_zip(tmp_path / "x.zip", {"a.png": picture(1)})
    assert load(DataSpec(source=f"zip:{path}")).images.max() == 1
    write_zip(path, {"a.png": picture(2)})
    assert load(DataSpec(source=f"zip:{path}")).images.max() == 2 and len(decoded) == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError])
def test_interrupted_run_leaves_nothing_that_counts(
    folder, tmp_path, monkeypatch, error
):
    true, fail = cache.hasher, [True]

    def interrupted(*args):
        if fail.pop():
            raise error
        return true(*args)

    monkeypatch.setattr(cache, "hasher", interrupted)
    with pytest.raises(error):
        load(DataSpec(source=f"folder:{folder}"))
    assert entries(tmp_path) == []
    fail.append(False)
    assert len(load(DataSpec(source=f"folder:{folder}")).images) == 5


@pytest.mark.parametrize(
    "damage", ["no_manifest", "half_manifest", "short_images", "no_images", "format"]
)
def test_damaged_entry_is_written_anew(folder, decoded, tmp_path, damage):
    spec = DataSpec(source=f"folder:{folder}")
    load(spec)
    entry = tmp_path / "cache" / entries(tmp_path)[0]
    manifest, images = entry / "manifest.json", entry / "images.npy"
    if damage == "no_manifest":
        manifest.unlink()
    elif damage == "half_manifest":
        manifest.write_text(manifest.read_text()[:100])
    elif damage == "short_images":
        images.write_bytes(images.read_bytes()[:-1])
    elif damage == "no_images":
        images.unlink()
    else:
        manifest.write_text(
            json.dumps(json.loads(manifest.read_text()) | {"format": 0})
        )
    assert (
        load(spec).images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4] and len(decoded) == 10
    )


def test_killed_runs_leftovers_are_removed_after_a_day(folder, tmp_path, decoded):
    spec = DataSpec(source=f"folder:{folder}")
    load(spec)
    name = entries(tmp_path)[0]
    old, new = (
        tmp_path / "cache" / f".{name}.old1",
        tmp_path / "cache" / f".{name}.new1",
    )
    for left in (old, new):
        left.mkdir()
    os.utime(old, (0, 0))
    (folder / "0.png").unlink()
    load(spec)
    assert not old.exists() and new.exists()  # the new one may be a run at work


def test_folder_precedence(folder, tmp_path, monkeypatch):
    load(DataSpec(source=f"folder:{folder}", cache_dir=str(tmp_path / "given")))
    assert (tmp_path / "given").exists() and not (tmp_path / "cache").exists()
    monkeypatch.delenv("GAN_JAX_CACHE")
    assert cache.root("").parts[-2:] == (".cache", "gan_jax")


def test_unwritable_cache_says_so(folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="GAN_JAX_CACHE"):
        load(
            DataSpec(source=f"folder:{folder}", cache_dir=str(tmp_path / "file" / "x"))
        )


def test_blocks_keep_the_order_and_silence(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(pool, "BLOCK", 3)
    files = {f"{i:02d}.png": picture(i) for i in range(11)}
    data = load(DataSpec(source=f"folder:{write_folder(tmp_path / 'many', files)}"))
    assert data.images[:, 3, 3, 0].tolist() == list(range(11))
    assert capfd.readouterr() == ("", "")
