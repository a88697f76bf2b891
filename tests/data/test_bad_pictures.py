"""Pictures that cannot be read: refused by name, or left out as if they had never been there."""

import builtins
import errno
import json
import os
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from gan_jax.data import DataError, DataSpec, indices, load, pictures, pool
from gan_jax.data.pictures import header

from .bad import BAD, EARLY, LATE, NOISE
from .files import encode, write_folder, write_zip

CURE = "--config.data.skip_bad=true"


def grey(i):
    return np.random.default_rng(i).integers(0, 256, (16, 16), np.uint8)


GOOD = {f"{'ab'[i % 2]}/{i:02d}.png": encode(grey(i)) for i in range(10)}


def write(kind, path, files):
    make = {"folder": write_folder, "zip": write_zip}[kind]
    return f"{kind}:{make(path, files)}"


def placed(bad):
    """Bad pictures in both classes, before, among and behind the good ones."""
    return {
        f"{'ab'[i % 2]}/{i % 3 * 4}{name}": raw
        for i, (name, raw) in enumerate(bad.items())
    }


def same(one, two):
    np.testing.assert_array_equal(one.images, two.images)
    np.testing.assert_array_equal(one.labels, two.labels)
    assert (one.digest, one.label_names) == (two.digest, two.label_names)
    assert one.images.shape == two.images.shape


def skipping(source):
    return load(DataSpec(source=source, skip_bad=True))


def refusal(source, **fields):
    with pytest.raises(DataError) as caught:
        load(DataSpec(source=source, **fields))
    return str(caught.value)


@pytest.mark.parametrize("kind", ["folder", "zip"])
@pytest.mark.parametrize("fault", BAD)
def test_each_fault_is_refused_by_name_or_left_out(tmp_path, capfd, kind, fault):
    clean = load(DataSpec(source=write(kind, tmp_path / "clean", GOOD)))
    source = write(kind, tmp_path / "set", GOOD | {f"a/05{fault}": BAD[fault]})
    message = refusal(source)
    assert f"\n  a/05{fault}: " in message and CURE in message
    assert capfd.readouterr().err == ""
    data = skipping(source)
    same(data, clean)
    (line,) = capfd.readouterr().err.splitlines()
    assert f"1 of 11 pictures cannot be read and are left out: a/05{fault}: " in line
    assert len(data.skipped) == 1 and data.skipped[0] in line
    assert clean.skipped == ()


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_all_faults_at_once(tmp_path, capfd, monkeypatch, kind):
    """Both passes find some, blocks are small, and the cache tells what it lacks."""
    monkeypatch.setattr(pool, "BLOCK", 3)
    clean = load(DataSpec(source=write(kind, tmp_path / "clean", GOOD)))
    source = write(kind, tmp_path / "set", GOOD | placed(BAD))
    first = skipping(source)
    line = capfd.readouterr().err
    monkeypatch.setattr("gan_jax.data.cache.header", None)  # only opened this time
    again = skipping(source)
    assert capfd.readouterr().err == line and line.count("\n") == 1
    assert f"{len(BAD)} of {len(BAD) + 10} pictures" in line
    assert line.endswith(f"; and {len(BAD) - 5} more\n")
    for data in (first, again):
        same(data, clean)
        assert sorted(s.split(": ")[0] for s in data.skipped) == sorted(placed(BAD))


def test_faults_that_only_decoding_finds_leave_no_trace(tmp_path):
    """The only coloured picture, the only one of another size, the only one of its class."""
    clean = load(DataSpec(source=write("folder", tmp_path / "clean", GOOD)))
    other = encode(np.stack([np.resize(grey(0), (20, 20))] * 3, -1))
    bad = {"0/cut.png": other[:-60]} | placed(LATE)
    data = skipping(write("folder", tmp_path / "set", GOOD | bad))
    same(data, clean)
    assert data.images.shape == (10, 16, 16, 1) and data.label_names == ("a", "b")


def test_a_folder_around_everything_once_the_others_are_gone(tmp_path):
    inside = {name: raw for name, raw in GOOD.items() if name.startswith("a")}
    clean = load(DataSpec(source=write("folder", tmp_path / "clean", inside)))
    data = skipping(write("folder", tmp_path / "set", inside | {"b/x.png": b""}))
    assert data.labels is None and data.digest == clean.digest


def test_nothing_left_is_an_error(tmp_path):
    for kind in ("folder", "zip"):
        for bad in (EARLY, LATE):
            source = write(kind, tmp_path / f"{kind}{len(bad)}", bad)
            message = refusal(source, skip_bad=True)
            assert "has no picture that can be read" in message
            assert message.endswith(f"and {len(bad) - 5} more")


def test_an_entry_that_lacks_pictures_serves_only_who_asks_for_it(tmp_path, capfd):
    source = write("folder", tmp_path / "set", GOOD | {"a/x.png": b""})
    assert len(skipping(source).images) == 10
    assert CURE in refusal(source)
    (tmp_path / "set" / "a" / "x.png").unlink()
    whole = load(DataSpec(source=source))
    capfd.readouterr()
    assert skipping(source).digest == whole.digest and capfd.readouterr().err == ""
    entries = list((tmp_path / "cache").iterdir())
    assert len(entries) == 2  # the whole one serves both
    shapes = [json.loads((e / "manifest.json").read_text())["shape"] for e in entries]
    assert shapes == [[10, 16, 16, 1]] * 2


def test_what_can_be_read_again_comes_back(tmp_path, monkeypatch, capfd):
    """A disk that failed for a moment leaves no mark in the cache, though no file has changed."""
    source = write("folder", tmp_path / "set", GOOD)
    failing, true = {"01.png", "02.png"}, open

    def opened(path, *rest):
        if os.path.basename(path) in failing:
            raise OSError(errno.EIO, "Input/output error", path)
        return true(path, *rest)

    monkeypatch.setattr(pictures, "open", opened, raising=False)
    data = skipping(source)
    assert len(data.images) == 8
    assert data.skipped[1] == "b/01.png: OSError: Input/output error"
    failing.remove("01.png")
    assert len(skipping(source).images) == 9
    failing.clear()
    capfd.readouterr()
    whole = skipping(source)
    assert len(whole.images) == 10 and capfd.readouterr().err == ""
    assert load(DataSpec(source=source)).digest == whole.digest


@pytest.mark.parametrize(
    "error", [MemoryError(), OSError(errno.EMFILE, "Too many open files")]
)
def test_a_shortage_is_no_fault_of_the_picture(tmp_path, monkeypatch, error):
    def opened(*args):
        raise error

    monkeypatch.setattr(pictures, "open", opened, raising=False)
    source = write("folder", tmp_path / "set", GOOD)
    for skip_bad in (False, True):
        assert "short of memory or open files" in refusal(source, skip_bad=skip_bad)


def links(folder):
    """Files that are none, by what they are called in the message."""
    (folder / "dangling.png").symlink_to(folder / "nowhere")
    (folder / "loop.png").symlink_to(folder / "loop2.png")
    (folder / "loop2.png").symlink_to(folder / "loop.png")
    os.mkfifo(folder / "pipe.png")
    (folder / "device.png").symlink_to("/dev/zero")
    return {
        "dangling.png": "No such file or directory",
        "loop.png": "Too many levels of symbolic links",
        "loop2.png": "Too many levels of symbolic links",
        "pipe.png": "not a regular file",
        "device.png": "not a regular file",
    }


def test_links_pipes_and_devices(tmp_path):
    clean = load(DataSpec(source=write("folder", tmp_path / "clean", GOOD)))
    source = write("folder", tmp_path / "set", GOOD)
    reasons = links(tmp_path / "set" / "a")
    message = refusal(source)
    for name, why in reasons.items():
        assert any(f"a/{name}" in x and why in x for x in message.splitlines()), name
    same(skipping(source), clean)
    # a link that leads somewhere is as good as the file
    (tmp_path / "set" / "a" / "dangling.png").unlink()
    (tmp_path / "set" / "a" / "dangling.png").symlink_to(tmp_path / "clean/a/00.png")
    assert len(skipping(source).images) == 11


def test_folders_that_look_like_pictures(tmp_path, monkeypatch):
    """Their content counts; a folder that cannot be listed is never passed over in silence."""
    files = {"a.png/1.png": GOOD["a/00.png"], "b.png/2.png": GOOD["b/01.png"]}
    source = write("folder", tmp_path / "set", files)
    (tmp_path / "set" / "b.png" / "linked.png").symlink_to(tmp_path / "set" / "a.png")
    data = load(DataSpec(source=source))
    assert data.label_names == ("a.png", "b.png") and len(data.images) == 2
    true = os.scandir

    def scandir(path):
        if str(path).endswith("b.png"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return true(path)

    monkeypatch.setattr(os, "scandir", scandir)
    for skip_bad in (False, True):
        message = refusal(source, skip_bad=skip_bad)
        assert "cannot list the folder" in message and "Permission denied" in message


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    true = builtins.open

    def opened(path, *rest):
        if os.path.basename(path) == "05.png":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return true(path, *rest)

    source = write("folder", tmp_path / "set", GOOD)
    monkeypatch.setattr(pictures, "open", opened, raising=False)
    assert "\n  b/05.png: PermissionError: Permission denied" in refusal(source)
    assert len(skipping(source).images) == 9


@pytest.mark.parametrize("when", ["header", "decode"])
def test_a_file_that_disappears(tmp_path, monkeypatch, when):
    clean = load(
        DataSpec(
            source=write(
                "folder",
                tmp_path / "clean",
                {n: r for n, r in GOOD.items() if n != "a/04.png"},
            )
        )
    )
    source = write("folder", tmp_path / "set", GOOD)
    true = getattr(pictures, when)

    def late(raw, *rest):
        (tmp_path / "set" / "a" / "04.png").unlink(missing_ok=True)
        if raw.name == "04.png":
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(raw))
        return true(raw, *rest)

    monkeypatch.setattr(f"gan_jax.data.cache.{when}", late)
    same(skipping(source), clean)
    write_folder(tmp_path / "set", GOOD)
    assert "a/04.png: FileNotFoundError: No such file" in refusal(source)


def test_names_cannot_break_or_colour_a_line(tmp_path, capfd):
    names = ["a/new\nline.png", "a/\x1b[31mred\x1b[0m.png", "a/back\rward\x07.png"]
    names += ["a/\u202eright.png", os.fsdecode(b"a/\xff\xfe.png")]
    files = GOOD | dict.fromkeys(names, b"")
    source = write("folder", tmp_path / "set", files)
    message = refusal(source)
    skipping(source)
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    for text in (message.replace("\n", ""), err[:-1]):
        assert text.isprintable()
        for part in (r"new\nline", r"\x1b[31mred\x1b[0m", r"back\rward\x07", r"\u202e"):
            assert part in text
    long = refusal(write("zip", tmp_path / "z.zip", {"x" * 60_000 + ".png": b""}))
    assert len(long) < 1000


# Pillow has a limit of its own, and warns above half of it.
TOO_LARGE = (
    DataError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


def test_huge_headers_take_no_memory(tmp_path):
    names = [name for name in EARLY if "megapixel" in name or "huge" in name]
    tracemalloc.start()
    for name in [*names, "largest.png"]:
        with pytest.raises(TOO_LARGE, match="limit of"):
            header(EARLY[name])
    for name in ("text_bomb.png", "colour_bomb.png"):  # of 100 MB
        with pytest.raises(ValueError, match="(?i)decompress"):
            header(EARLY[name])
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()


def moving(kind):
    """Three pictures that follow each other; the first is what counts."""
    frames = [Image.fromarray(NOISE)] + [
        Image.new("RGB", (16, 16), c) for c in ("red", "blue")
    ]
    more = {"lossless": True} if kind == "WEBP" else {}
    return encode(
        frames[0], kind, save_all=True, append_images=frames[1:], duration=9, **more
    )


def palette():
    image = Image.fromarray(grey(1) % 4, "L")
    image = Image.frombytes("P", (16, 16), image.tobytes())
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    return image


COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]], np.uint8)
ODD = {  # name -> bytes, pixels, largest difference
    "moving.png": (moving("PNG"), NOISE, 0),
    "moving.webp": (moving("WEBP"), NOISE, 0),
    "palette.png": (encode(palette()), COLOURS[grey(1) % 4], 0),
    "transparent.png": (
        encode(palette(), transparency=0),
        np.where(grey(1)[..., None] % 4 == 0, 255, COLOURS[grey(1) % 4]),
        0,
    ),
    "wide.png": (
        encode(grey(2).astype(np.uint16) * 257),
        np.repeat(grey(2)[..., None], 3, -1),
        0,
    ),
    "print.jpg": (
        encode(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG"),
        np.full((16, 16, 3), (255, 0, 0)),
        4,
    ),
    "really_jpeg.png": (
        encode(Image.new("RGB", (16, 16), "blue"), "JPEG"),
        np.full((16, 16, 3), (0, 0, 255)),
        4,
    ),
}


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_odd_pictures_are_read(tmp_path, kind):
    files = {name: raw for name, (raw, _, _) in ODD.items()}
    source = write(kind, tmp_path / "set", files)
    data = load(DataSpec(source=source))
    assert skipping(source).skipped == ()
    for name, image in zip(sorted(ODD), data.images, strict=True):
        error = np.abs(image.astype(int) - ODD[name][1]).max()
        assert error <= ODD[name][2], name


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_any_number_of_threads_gives_the_same(tmp_path, monkeypatch, kind):
    """Of the pictures, of what is left out, and of the order in which they are seen."""
    source = write(kind, tmp_path / "set", GOOD | placed(BAD))
    found = []
    for cores in (1, 2, 5, 64):
        monkeypatch.setattr(pool.os, "cpu_count", lambda n=cores: n)
        monkeypatch.setattr(pool, "PART", 1)
        spec = DataSpec(
            source=source, skip_bad=True, cache_dir=str(tmp_path / str(cores))
        )
        data = load(spec)
        order = indices(
            seed=3, start=5, count=4, n_disc=2, batch=3, size=len(data.images)
        )
        found.append((data.digest, data.skipped, data.images[order].tobytes()))
    assert found == [found[0]] * 4


def test_large_pictures_are_few_at_a_time(tmp_path, monkeypatch):
    """Decoded pictures in flight are bounded in bytes, not only in number."""
    sizes, true = [], pool.Pool._note
    monkeypatch.setattr(pool, "BLOCK_BYTES", 600)
    monkeypatch.setattr(
        pool.Pool,
        "_note",
        lambda self, found, seen: sizes.append(len(found)) or true(self, found, seen),
    )
    clean = load(DataSpec(source=write("folder", tmp_path / "set", GOOD)))
    assert sizes == [10, 2, 2, 2, 2, 2] and len(clean.images) == 10


def test_datasets_of_tfds(tmp_path, monkeypatch):
    """Labels stay with their pictures; a class that lost all its pictures is still one."""
    from gan_jax.data import tfds

    raws = [encode(grey(i)) for i in range(6)]
    raws[1], raws[4] = LATE["truncated.png"], b""

    class Source(list):
        pass

    class Builder:
        data_dir, info = "here", None

    source = Source({"image": raw, "label": i % 3} for i, raw in enumerate(raws))
    builder = Builder()
    builder.info = type(
        "Info", (), {"splits": {"train": None}, "full_name": "tiny/1"}
    )()
    builder.info.features = {"label": type("Names", (), {"names": ["x", "y", "z"]})()}
    monkeypatch.setattr(tfds, "_builder", lambda name: builder)
    monkeypatch.setattr(tfds, "_is_prepared", lambda builder: True)
    monkeypatch.setattr(tfds, "_features", lambda builder, name: ("image", "label"))
    monkeypatch.setattr(tfds, "_open", lambda builder, split, image: source)
    monkeypatch.setattr(tfds, "_shards", lambda builder: [])
    message = refusal("tfds:tiny")
    assert "tiny train example 4: no PNG" in message and CURE in message
    data = skipping("tfds:tiny")
    assert data.labels.tolist() == [0, 2, 0, 2] and data.label_names == ("x", "y", "z")
    np.testing.assert_array_equal(data.images[..., 0], [grey(i) for i in (0, 2, 3, 5)])
    assert len(data.skipped) == 2
