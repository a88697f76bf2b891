import numpy as np
import pytest

from gan_jax.data import DataError, DataSpec, available, load
from gan_jax.data.archives import labels_of

from .files import encode, write_folder, write_zip

GREY = encode(np.arange(256, dtype=np.uint8).reshape(16, 16))
COLOUR = encode(np.full((16, 16, 3), (1, 2, 3), np.uint8))


@pytest.mark.parametrize(
    "crop, resolution, side", [(108, 64, 64), (178, 32, 32), (0, 0, 178), (108, 0, 108)]
)
def test_folder_and_zip_are_equal(tmp_path, faces, face_files, crop, resolution, side):
    folder = write_folder(tmp_path / "faces", face_files)
    archive = write_zip(tmp_path / "faces.zip", face_files)
    one = load(DataSpec(source=f"folder:{folder}", crop=crop, resolution=resolution))
    two = load(DataSpec(source=f"zip:{archive}", crop=crop, resolution=resolution))
    assert one.images.shape == (12, side, side, 3) and isinstance(one.images, np.memmap)
    np.testing.assert_array_equal(one.images, two.images)
    assert one.digest == two.digest and one.labels is None and one.label_names == ()
    with pytest.raises(ValueError, match="read-only"):
        one.images[0] = 0
    if crop == 108 and not resolution:  # the lossless ones are exact, JPEG is near
        expected = faces[:, 55:163, 35:143]
        np.testing.assert_array_equal(one.images[1::3], expected[1::3])
        np.testing.assert_array_equal(one.images[2::3], expected[2::3])
        assert np.abs(one.images[::3].astype(int) - expected[::3]).mean() < 3


def test_labels_from_folders_sorted_by_name(tmp_path):
    files = {
        "b/2.png": GREY,
        "a/9.png": COLOUR,
        "b/deep/1.PNG": COLOUR,
        "a/10.png": GREY,
    }
    junk = {"readme.txt": b"x", "b/.hidden.png": b"x", "__MACOSX/a/9.png": b"x"}
    for source in (
        f"folder:{write_folder(tmp_path / 'set', files | junk)}",
        f"zip:{write_zip(tmp_path / 'set.zip', files | junk)}",
        f"zip:{write_zip(tmp_path / 'wrapped.zip', {f'top/{k}': v for k, v in files.items()})}",
    ):
        data = load(DataSpec(source=source))
        assert data.labels.tolist() == [0, 0, 1, 1] and data.labels.dtype == np.int32
        assert data.label_names == ("a", "b") and data.images.shape == (4, 16, 16, 3)
        # a/10, a/9, b/2, b/deep/1
        assert [int(x.max()) for x in data.images] == [255, 3, 255, 3]
        again = load(DataSpec(source=source))
        assert again.digest == data.digest and again.labels.tolist() == [0, 0, 1, 1]


def test_label_rules():
    assert labels_of(["a.png", "b.png"]) == (None, ())
    assert labels_of(["x/a.png", "b.png"]) == (None, ())
    assert labels_of(["x/a.png", "x/b.png"]) == (None, ())
    assert labels_of([]) == (None, ())
    labels, names = labels_of(["t/y/a.png", "t/x/b.png"])
    assert labels.tolist() == [1, 0] and names == ("x", "y")


def test_grey_only_if_all_are(tmp_path):
    folder = write_folder(tmp_path / "set", {"1.png": GREY, "2.png": GREY})
    assert load(DataSpec(source=f"folder:{folder}")).images.shape == (2, 16, 16, 1)
    write_folder(folder, {"3.png": COLOUR})
    assert load(DataSpec(source=f"folder:{folder}")).images.shape == (3, 16, 16, 3)


def test_bad_pictures_are_named(tmp_path):
    bad = {f"bad{i}.jpg": b"not a picture" for i in range(7)}
    cut = {
        "cut.png": encode(
            np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)
        )[:200]
    }
    for make, kind in ((write_folder, "folder"), (write_zip, "zip")):
        path = make(tmp_path / f"{kind}.bad", {"good.png": GREY} | bad)
        with pytest.raises(
            DataError,
            match=r"bad0.jpg: .*\n  bad1.jpg(.|\n)*bad4.jpg(.|\n)*and 2 more$",
        ):
            load(DataSpec(source=f"{kind}:{path}"))
        path = make(tmp_path / f"{kind}.cut", {"good.png": GREY} | cut)
        with pytest.raises(DataError, match="cannot be read.*\n  cut.png: "):
            load(DataSpec(source=f"{kind}:{path}"))


def test_damaged_zip_member_and_size_limit(tmp_path, monkeypatch):
    path = write_zip(tmp_path / "x.zip", {"a.png": GREY, "b.png": COLOUR})
    raw = bytearray(path.read_bytes())
    raw[raw.index(COLOUR[:8]) + 60] ^= 255
    path.write_bytes(raw)
    with pytest.raises(DataError, match="b.png: BadZipFile: Bad CRC"):
        load(DataSpec(source=f"zip:{path}"))
    monkeypatch.setattr("gan_jax.data.archives.MAX_MEMBER", 50)
    with pytest.raises(DataError, match="a.png: .* bytes, more than the limit of 50"):
        load(DataSpec(source=f"zip:{path}"))


def test_missing_empty_and_wrong_files(tmp_path):
    with pytest.raises(DataError, match="there is no folder"):
        load(DataSpec(source=f"folder:{tmp_path}/none"))
    with pytest.raises(DataError, match="there is no file"):
        load(DataSpec(source=f"zip:{tmp_path}/none.zip"))
    (tmp_path / "text.zip").write_text("hello")
    with pytest.raises(DataError, match="cannot be read as a zip file"):
        load(DataSpec(source=f"zip:{tmp_path}/text.zip"))
    with pytest.raises(DataError, match="holds no pictures"):
        load(
            DataSpec(
                source=f"folder:{write_folder(tmp_path / 'empty', {'a.txt': b''})}"
            )
        )
    with pytest.raises(DataError, match="no split 'test'; choices: train"):
        load(DataSpec(source=f"folder:{tmp_path}", split="test"))


def test_sizes_that_differ_need_a_resolution(tmp_path):
    files = {"a.png": GREY, "b.png": encode(np.zeros((20, 30), np.uint8))}
    source = f"folder:{write_folder(tmp_path / 'set', files)}"
    with pytest.raises(
        DataError, match=r"16 to 20 pixels.*--config.data.resolution=64"
    ):
        load(DataSpec(source=source))
    assert load(DataSpec(source=source, resolution=8)).images.shape == (2, 8, 8, 1)
    assert load(DataSpec(source=source, crop=12)).images.shape == (2, 12, 12, 1)


@pytest.mark.parametrize(
    "layout", ["parent_zip", "parent_folder", "zip", "folder", "cwd_zip", "kaggle"]
)
def test_celeba_is_found(tmp_path, monkeypatch, faces, face_files, layout):
    top = tmp_path / "disk"
    name = "img_align_celeba"
    inside = {f"{name}/{k}": v for k, v in face_files.items()}
    layouts = {
        "parent_zip": lambda: write_zip(top / f"{name}.zip", inside).parent,
        "parent_folder": lambda: write_folder(top, inside),
        "zip": lambda: write_zip(top / "other.zip", inside),
        "folder": lambda: write_folder(top / "faces", face_files),
        "kaggle": lambda: write_folder(top / name, inside),
        "cwd_zip": lambda: (
            write_zip(tmp_path / "work" / "data" / f"{name}.zip", inside) and None
        ),
    }
    place = layouts[layout]()
    if place:
        monkeypatch.setenv("GAN_JAX_DATA", str(place))
    assert available("celeba")
    data = load(DataSpec(source="celeba", crop=108))
    assert (
        data.images.shape == (12, 108, 108, 3)
        and data.name == "celeba"
        and data.labels is None
    )
    np.testing.assert_array_equal(data.images[1], faces[1, 55:163, 35:143])


def test_celeba_lookup_order(tmp_path, monkeypatch):
    monkeypatch.setattr("gan_jax.data.tfds.available", lambda name: False)
    name = "img_align_celeba"

    def count(n):
        return {f"{name}/{i}.png": COLOUR for i in range(n)}

    def found():
        return len(load(DataSpec(source="celeba")).images)

    write_folder(tmp_path / "work" / "data", count(1))
    assert found() == 1
    write_zip(tmp_path / "work" / "data" / f"{name}.zip", count(2))
    assert found() == 2
    monkeypatch.setenv(
        "GAN_JAX_DATA", str(tmp_path / "disk")
    )  # nothing there: ./data still counts
    assert found() == 2
    write_folder(tmp_path / "disk", count(3))
    assert found() == 3
    write_zip(tmp_path / "disk" / f"{name}.zip", count(4))
    assert found() == 4


def test_celeba_missing_says_what_to_do(monkeypatch):
    monkeypatch.setattr("gan_jax.data.tfds.available", lambda name: False)
    assert not available("celeba")
    with pytest.raises(DataError) as error:
        load(DataSpec(source="celeba"))
    for part in (
        "data/img_align_celeba.zip",
        "export GAN_JAX_DATA=",
        "pip install tensorflow-cpu",
        "tfds.builder('celeb_a').download_and_prepare(file_format='array_record')",
        "--config.data.source=fashion_mnist",
    ):
        assert part in str(error.value)
