"""Data of image-to-image tasks: what is made of a source, a user's folders, and the way into a step."""

import hashlib
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import config, models, parallel
from gan_jax.capacity import nbytes
from gan_jax.combinations import check_data
from gan_jax.data import DataError, Dataset, DataSpec, available, load
from gan_jax.data.pairs import edges, grey, luminance, small, two_domains
from gan_jax.data.spec import in_memory
from gan_jax.job import Job, make_runner, rows_of, table_of
from gan_jax.plan import recorded
from gan_jax.record import Record, RecordError
from gan_jax.step import init
from gan_jax.train import data_facts
from gan_jax.types import UserError
from tests.data.files import encode, write_folder
from tests.recipes import tiny


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path / "cache"))


def get(source, **more):
    return load(DataSpec(source=source, **more))


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def flat(value, side=8, channels=1):
    return np.full((side, side, channels), value, np.uint8)


def png(value, side=8):
    return encode(flat(value, side)[..., 0])


# What is made of a picture


@pytest.mark.parametrize("height", [0, 23, 24, 255])
def test_a_step_of_24_levels_is_a_line_one_pixel_wide(height):
    step = np.zeros((1, 8, 9, 1), np.uint8)
    step[:, :, 5:] = height
    expected = np.full(step.shape, 255, np.uint8)
    if height >= 24:
        expected[:, :, 4] = 0
    lower, turned = 255 - step, step.swapaxes(1, 2)
    np.testing.assert_array_equal(edges(step), expected)
    np.testing.assert_array_equal(edges(lower), expected)
    np.testing.assert_array_equal(edges(turned), expected.swapaxes(1, 2))
    colour = np.repeat(step, 3, axis=3)
    np.testing.assert_array_equal(edges(colour), expected)


def test_a_square_has_a_closed_outline_and_a_ramp_has_none():
    square = np.zeros((1, 12, 12, 1), np.uint8)
    square[:, 3:9, 3:9] = 200
    dark = edges(square)[0, :, :, 0] == 0
    assert dark.sum() >= 20 and not dark[5:7, 5:7].any()
    inside = np.zeros((12, 12), bool)  # what a flood from the middle reaches
    inside[5, 5] = True
    for _ in range(20):
        grown = inside.copy()
        grown[1:] |= inside[:-1]
        grown[:-1] |= inside[1:]
        grown[:, 1:] |= inside[:, :-1]
        grown[:, :-1] |= inside[:, 1:]
        inside = grown & ~dark
    assert not inside[0].any() and not inside[:, 0].any()
    ramp = np.broadcast_to(np.arange(0, 96, 8, dtype=np.uint8)[:, None], (1, 12, 12))
    assert (edges(ramp[..., None].copy()) == 255).all()


def test_edge_maps_of_clothes_are_lines():
    dark = edges(get("fashion_mnist").images[:200])[..., 0] == 0
    assert 0.08 < dark.mean() < 0.25  # an outline and some folds
    block = dark[:, :-2, :-2]
    for dy, dx in np.ndindex(3, 3):
        block = block & dark[:, dy : dy + 26, dx : dx + 26]
    assert block.mean() < 1e-4  # no areas


def test_luminance_is_that_of_rec_601_rounded_half_up():
    colours = [
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
        (255,) * 3,
        (0, 0, 250),
        (1, 2, 3),
    ]
    picture = np.array(colours, np.uint8).reshape(1, 1, -1, 3)
    assert grey(picture)[0, 0, :, 0].tolist() == [76, 150, 29, 255, 29, 2]
    one = noise(2, 3, 4, 1)
    np.testing.assert_array_equal(luminance(one), one)
    with pytest.raises(DataError, match="'grey:digits' takes the colour.*grey already"):
        get("grey:digits")


def test_small_pictures_are_means_of_squares_rounded_half_up():
    picture = noise(3, 8, 12, 3)
    means = picture.reshape(3, 2, 4, 3, 4, 3).astype(float).mean((2, 4))
    np.testing.assert_array_equal(small(picture), np.floor(means + 0.5))
    half = np.zeros((1, 4, 4, 1), np.uint8)
    half[0, :2, :, 0] = 1
    assert small(half).tolist() == [[[[1]]]]
    with pytest.raises(DataError, match="'small:emoji' .* 30 is no .*resolution=32"):
        get("small:emoji", resolution=30)


# Of any source


@pytest.mark.parametrize(
    "kind, make", [("edges", edges), ("grey", grey), ("small", small)]
)
def test_each_source_picture_is_made_of_its_own_image(kind, make):
    data, inner = get(f"{kind}:emoji"), get("emoji")
    assert data.paired and data.source_shape == data.sources.shape[1:]
    assert data.name == f"{kind}:emoji" and data.label_names == inner.label_names
    train = np.arange(len(inner.images)) % 10 != 9
    np.testing.assert_array_equal(data.images, inner.images[train])
    np.testing.assert_array_equal(data.labels, inner.labels[train])
    for i in (0, 255, 256, len(data.images) - 1):  # around the ends of a block
        np.testing.assert_array_equal(data.sources[i], make(data.images[i : i + 1])[0])
    assert not data.sources.flags.writeable and not data.images.flags.writeable


def test_the_fields_of_the_spec_mean_what_they_mean_elsewhere():
    spec = {"resolution": 16, "crop": 24, "split": "test"}
    data, inner = get("small:fashion_mnist", **spec), get("fashion_mnist", **spec)
    np.testing.assert_array_equal(data.images, inner.images)  # a split of its own
    assert data.source_shape == (4, 4, 1) and len(data.images) == 2000
    assert len(get("small:fashion_mnist", resolution=16).images) == 10_000
    with pytest.raises(DataError, match="'digits' has no split 'val'"):
        get("edges:digits", split="val")


def test_splits_are_disjoint_and_complete():
    train, test = get("edges:digits"), get("edges:digits", split="test")
    inner = get("digits").images
    np.testing.assert_array_equal(test.images, inner[9::10])
    np.testing.assert_array_equal(train.images, np.delete(inner, np.s_[9::10], axis=0))
    assert train.digest != test.digest


def test_every_tenth_of_each_domain_is_test():
    """Of all digits, which go round 0 to 9 at first, every tenth would be 40 threes of 179."""
    inner = get("digits")
    for split in ("train", "test"):
        data = get("domains:digits,3,7", split=split)
        for label, side in ((3, data.sources), (7, data.images)):
            own = inner.images[inner.labels == label]
            test = np.arange(len(own)) % 10 == 9
            part = own[test == (split == "test")]
            np.testing.assert_array_equal(side[: len(part)], part)
            assert 0 <= len(side) - len(part) < 10


def test_domains_by_name_or_number_and_the_smaller_one_comes_round():
    data = get("domains:fashion_mnist,T-shirt/top,Ankle boot")
    assert data.digest == get("domains:fashion_mnist,0,9").digest
    assert not data.paired and data.labels is None and data.label_names == ()
    assert data.source_shape == data.images.shape[1:]
    data, inner = get("domains:emoji,Flags,Smileys & Emotion"), get("emoji")
    names = {name: i for i, name in enumerate(inner.label_names)}
    both = [
        inner.images[inner.labels == names[n]] for n in ("Flags", "Smileys & Emotion")
    ]
    a, b = (np.delete(x, np.s_[9::10], axis=0) for x in both)
    n = max(len(a), len(b))
    assert len(a) != len(b) and len(data.images) == len(data.sources) == n
    for i in (0, min(len(a), len(b)), n - 1):
        np.testing.assert_array_equal(data.sources[i], a[i % len(a)])
        np.testing.assert_array_equal(data.images[i], b[i % len(b)])


def test_grey_becomes_colour_where_the_other_domain_is():
    dim, bright = noise(2, 4, 4, 1), noise(3, 4, 4, 3)
    data = two_domains("x", dim, bright, ("a",))
    np.testing.assert_array_equal(data.sources, dim[[0, 1, 0]].repeat(3, axis=3))
    np.testing.assert_array_equal(data.images, bright)
    assert data.skipped == ("a",)
    with pytest.raises(DataError, match="of 4x4 and 6x6 pixels: set .*resolution=64"):
        two_domains("x", dim, noise(3, 6, 6, 3), ())


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("edges:ring", "'edges:ring' needs pictures; 'ring' has points"),
        ("edges:small:emoji", "makes input pictures, and 'small:emoji' has some"),
        ("edges:emojy", "'emojy'; did you mean 'emoji'"),
        ("edges", "is written --config.data.source=edges:SOURCE"),
        ("domains:emoji,Flags", "is written .*domains:SOURCE,A,B"),
        ("domains:emoji,Flags,Flag", "did you mean 'Flags'. choices: Smileys.*number"),
        ("domains:emoji,Flags,9", "unknown label .*'9'"),
        ("domains:emoji,Flags,8", "names one label twice"),
        ("unpaired:here", "is written .*unpaired:DIR_A,DIR_B"),
        ("paired:nowhere", "there is no folder .*nowhere"),
        ("unpaired:nowhere,there", "there is no folder .*nowhere"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_reason(source, reason):
    with pytest.raises(UserError, match=reason):
        get(source)


def test_labels_that_are_not_there_make_no_domains(tmp_path):
    write_folder(tmp_path, {f"{i}.png": png(i) for i in range(12)})
    with pytest.raises(DataError, match="needs labels, and 'folder:.*' has none"):
        get(f"domains:folder:{tmp_path},a,b")
    images = {f"{k}/{i}.png": png(i) for k in ("x, y", "z") for i in range(10)}
    write_folder(tmp_path / "two", images)  # a name with a comma by its number
    data = get(f"domains:folder:{tmp_path}/two,0,z")
    assert data.sources[:, 0, 0, 0].tolist() == list(range(9))
    with pytest.raises(DataError, match="3 examples: every tenth .* needs 10"):
        write_folder(tmp_path / "few", {f"{i}.png": png(i) for i in range(3)})
        get(f"edges:folder:{tmp_path}/few", split="test")


def test_availability_is_that_of_the_source_inside(tmp_path):
    assert available("edges:emoji") and available("domains:emoji,0,1")
    assert not available(f"small:folder:{tmp_path}/none")
    assert not available(f"domains:folder:{tmp_path}/none,0,1")
    assert available(f"paired:{tmp_path}") and not available(f"paired:{tmp_path}/none")
    assert available(f"unpaired:{tmp_path},{tmp_path}")
    assert not available(f"unpaired:{tmp_path},{tmp_path}/none")


# A user's folders


def values(data):
    """The grey level of each example's source and image."""
    return [
        (int(a[0, 0, 0]), int(b[0, 0, 0]))
        for a, b in zip(data.sources, data.images, strict=True)
    ]


TWENTY = range(20)
PAIRS = [(i, 100 + i) for i in TWENTY]
TENTHS = {
    "train": [p for i, p in enumerate(PAIRS) if i % 10 != 9],
    "test": PAIRS[9::10],
}


@pytest.mark.parametrize("names", [("source", "target"), ("A", "B")])
def test_pairs_of_the_same_names(tmp_path, names):
    files = {f"{names[0]}/{i:02d}.png": png(i) for i in TWENTY}
    files |= {f"{names[1]}/{i:02d}.PNG": png(100 + i, 16) for i in TWENTY}
    write_folder(tmp_path, files | {f"{names[0]}/readme.txt": b"x"})
    for split, expected in TENTHS.items():
        data = get(f"paired:{tmp_path}", split=split)
        assert values(data) == expected and data.paired and data.labels is None
        assert data.source_shape == (8, 8, 1) and data.images.shape[1:] == (16, 16, 1)
    one = get(f"paired:{tmp_path}", resolution=4)
    assert one.source_shape == one.images.shape[1:] == (4, 4, 1)


def test_names_of_two_suffixes_keep_their_partners(tmp_path):
    """Sorted with their suffixes these come in another order on each side."""
    files = {
        "A/a.b.png": png(1),
        "A/a.JPG": png(2),
        "B/a.b.png": png(101),
        "B/a.png": png(102),
    }
    files |= {
        f"{k}/z{i}.png": png(v) for i in range(8) for k, v in (("A", 9), ("B", 109))
    }
    data = get(f"paired:{write_folder(tmp_path, files)}")
    assert set(values(data)) == {(1, 101), (2, 102), (9, 109)}


def test_pairs_side_by_side(tmp_path):
    colour = np.concatenate([flat((9, 8, 7), 8, 3), flat((1, 2, 3), 8, 3)], axis=1)
    files = {
        f"{i:02d}.png": encode(np.concatenate([flat(i), flat(100 + i)], axis=1)[..., 0])
        for i in TWENTY
    }
    data = get(f"paired:{write_folder(tmp_path / 'grey', files)}")
    assert values(data) == TENTHS["train"] and data.source_shape == (8, 8, 1)
    data = get(f"paired:{tmp_path / 'grey'}", crop=4, resolution=16, split="test")
    assert values(data) == TENTHS["test"] and data.source_shape == (16, 16, 1)
    folder = write_folder(
        tmp_path / "both", {"train/1.png": encode(colour), "val/2.png": encode(colour)}
    )
    for split in ("train", "test"):
        data = get(f"paired:{folder}", split=split)
        assert data.sources[0, 0, 7].tolist() == [9, 8, 7] and len(data.images) == 1
        assert data.images[0, 0, 0].tolist() == [1, 2, 3]
    write_folder(folder, {"train/3.png": png(0)})
    with pytest.raises(DataError, match="3.png: 8 x 8 pixels, and a pair side by side"):
        get(f"paired:{folder}")
    assert len(get(f"paired:{folder}", skip_bad=True).images) == 1
    with pytest.raises(
        DataError, match="holds no pairs: put pictures of the same names"
    ):
        (tmp_path / "empty").mkdir()
        get(f"paired:{tmp_path / 'empty'}")


@pytest.mark.parametrize("form", ["{split}/{side}", "{side}/{split}"])
def test_folders_of_splits_above_and_below_the_sides(tmp_path, form):
    files = {
        f"{form.format(split=split, side=side)}/{i}.png": png(level + i)
        for split, count, first in (("train", 11, 0), ("test", 2, 50), ("val", 1, 80))
        for side, level in (("source", first), ("target", 100 + first))
        for i in range(count)
    }
    folder = write_folder(tmp_path, files)
    train, test = (get(f"paired:{folder}", split=s) for s in ("train", "test"))
    assert sorted(values(train)) == [(i, 100 + i) for i in range(11)]
    assert values(test) == [(50, 150), (51, 151)]
    with pytest.raises(DataError, match="no split 'val'; choices: train, test"):
        get(f"paired:{folder}", split="val")


def test_two_folders_that_are_not_paired(tmp_path):
    files = {f"a/train/{i}.png": png(i) for i in range(5)} | {"a/test/0.png": png(9)}
    files |= {f"b/{i:02d}.png": encode(flat(100 + i, 8, 3)) for i in TWENTY}
    folder = write_folder(tmp_path, files)
    source = f"unpaired:{folder}/a,{folder}/b"
    data, test = get(source), get(source, split="test")
    images = [100 + i for i in TWENTY if i % 10 != 9]
    assert values(data) == [(i % 5, x) for i, x in enumerate(images)]
    assert values(test) == [(9, 109), (9, 119)] and not data.paired
    assert data.source_shape == data.images.shape[1:] == (8, 8, 3)


def test_sub_folders_of_pairs_are_labels(tmp_path):
    files = {
        f"{side}/{kind}/{i}.png": png(i)
        for side in "AB"
        for kind in ("cat", "dog")
        for i in range(6)
    }
    data = get(f"paired:{write_folder(tmp_path, files)}")
    assert data.label_names == ("cat", "dog")
    assert data.labels.tolist() == [0] * 6 + [1] * 5


def test_a_missing_partner_is_named(tmp_path):
    files = {f"A/{i}.png": png(i) for i in range(9)} | {
        "B/1.png": png(1),
        "B/x\n\x1b[31m.png": png(2),
    }
    folder = write_folder(tmp_path, files)
    with pytest.raises(DataError, match="has 9 pictures without a partner") as error:
        get(f"paired:{folder}")
    text = str(error.value)
    assert "0 is not in" in text and "and 4 more" in text and "\x1b" not in text
    folder = write_folder(
        tmp_path / "c", {"A/1.png": png(1), "A/1.jpg": png(1), "B/1.png": png(2)}
    )
    with pytest.raises(DataError, match="two pictures of one name, 1.jpg and 1.png"):
        get(f"paired:{folder}")
    hostile = {f"{k}/x\n\x1b[31m.png": b"no picture" for k in "AB"}
    folder = write_folder(tmp_path / "h", hostile)
    with pytest.raises(DataError, match=r"x\\n\\x1b\[31m.png: no PNG") as error:
        get(f"paired:{folder}")
    assert "\x1b" not in str(error.value)


def test_a_pair_is_left_out_whole(tmp_path):
    files = {f"A/{i:02d}.png": png(i) for i in TWENTY}
    files |= {f"B/{i:02d}.png": png(100 + i) for i in TWENTY}
    files["A/03.png"] = files["B/05.png"] = b"no picture"
    folder = write_folder(tmp_path, files)
    os.unlink(folder / "B/07.png")
    os.mkfifo(folder / "B/07.png")  # opening it would wait for ever
    with pytest.raises(DataError, match="03.png: no PNG"):
        get(f"paired:{folder}")
    kept = [p for i, p in enumerate(PAIRS) if i not in (3, 5, 7)]
    for _ in range(2):  # decoded, then from the cache
        data = get(f"paired:{folder}", skip_bad=True)
        assert values(data) == [p for i, p in enumerate(kept) if i != 9]
        assert [line.partition(":")[0] for line in data.skipped] == [
            f"0{i}.png" for i in (3, 5, 7)
        ]


def test_the_digest_covers_the_sources_and_is_the_old_one_without():
    images, sources = noise(5, 4, 4, 1), noise(5, 2, 2, 3)
    other = sources.copy()
    other[4, 1, 1, 2] ^= 1
    kinds = [
        (None, False),
        (sources, True),
        (sources, False),
        (other, True),
        (sources.reshape(5, 2, 6, 1), True),
    ]
    digests = [in_memory(images.copy(), None, (), "x", *kind).digest for kind in kinds]
    assert len(set(digests)) == len(kinds)
    plain = hashlib.sha256(b"uint8 (5, 4, 4, 1)" + images.tobytes())
    assert digests[0] == plain.hexdigest()


def lopsided(spec):
    return Dataset(noise(3, 4, 4, 1), None, (), spec.source, "0", (), noise(2, 4, 4, 1))


def test_ones_own_source_has_as_many_sources_as_images():
    with pytest.raises(DataError, match="as many sources as images, not 2 and 3"):
        get(f"{__name__}:lopsided")


# Into the program


def job_of(dataset, **changes):
    c = tiny(**changes)
    recipe = config.recipe_of(c, dataset.images.shape[1:], 10)
    nets, hyper = models.build(recipe.model), config.hyper_of(c)
    return Job(c, recipe, nets, hyper, dataset)


def probe(recipe, nets, axis=None):
    """A step that says whether each source is its image's, and what it saw."""

    def step(state, batch):
        image, source = (
            jnp.asarray(x, jnp.float32) for x in (batch.image, batch.source)
        )
        means = image.reshape(*image.shape[:2], 2, 4, 2, 4).mean((3, 5))
        apart = jnp.abs(source[..., 0] - means).max()
        seen = {"apart": apart, "source": source.sum(), "image": image.sum()}
        if axis:
            seen = jax.lax.pmean(seen, axis)
        return state, seen

    return step


@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_a_step_sees_each_source_beside_its_image(monkeypatch, mode):
    monkeypatch.setattr(parallel, "make_step", probe)
    seen = {}
    for resident in ("yes", "no"):
        changes = {"data.resident": resident, "parallel": mode}
        job = job_of(get("small:digits"), **changes)
        runner = make_runner(job)
        start = init(job.recipe, job.nets, job.hyper, np.uint32(0))
        rows = rows_of(job, 0, 0, 2)
        _, seen[resident] = runner.chunk(
            runner.place(start), runner.feed(rows, 2), np.int32(2)
        )
        expected = job.dataset.sources[rows[1]].astype(np.float64).sum()
        shares = jax.device_count() if mode == "pmap" else 1
        assert float(seen[resident]["source"]) == pytest.approx(expected / shares)
        assert float(seen[resident]["apart"]) <= 0.5  # rounding
    assert jax.tree.all(jax.tree.map(np.array_equal, seen["yes"], seen["no"]))


def test_the_table_and_its_bytes_hold_the_sources():
    data = get("small:digits")
    table = table_of(data)
    assert table.source is data.sources and table.label is data.labels
    size = data.images.nbytes + data.labels.nbytes + data.sources.nbytes
    assert nbytes(table) == size
    assert table_of(get("digits")).source is None


FACTS = {"shape": [8, 8, 1], "label_names": [], "digest": "0"}


def test_config_json_says_what_the_sources_are(tmp_path):
    data = get("small:digits")
    facts = data_facts(data)
    assert facts["source_shape"] == [2, 2, 1] and facts["paired"] is True
    record = Record(tmp_path, board=False)
    for given, expected in ((facts, ([2, 2, 1], True)), (FACTS, ([], False))):
        record.write_config(config.base().to_dict(), "command", given)
        _, said = recorded(tmp_path)
        assert (said["source_shape"], said["paired"]) == expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"source_shape": "2"},
        {"source_shape": [2, 2]},
        {"source_shape": [2, 0, 1]},
        {"source_shape": [2.0, 2, 1]},
        {"source_shape": None},
        {"paired": 1},
        {"paired": "yes"},
    ],
)
def test_facts_of_another_type_are_refused(tmp_path, wrong):
    Record(tmp_path, board=False).write_config(
        config.base().to_dict(), "command", FACTS | wrong
    )
    with pytest.raises(RecordError, match=next(iter(wrong))):
        recorded(tmp_path)


SQUARE, SMALL = (32, 32, 3), (8, 8, 3)


@pytest.mark.parametrize(
    ("objective", "source_shape", "paired", "reason"),
    [
        ("image_to_image", SMALL, True, ""),
        (
            "image_to_image",
            (),
            False,
            "needs pairs, and data source 'emoji' has no input",
        ),
        ("image_to_image", SQUARE, False, "paired: false.*objective=cycle with"),
        ("cycle", SQUARE, False, ""),
        ("cycle", SQUARE, True, ""),
        ("cycle", SMALL, False, "has 8x8x3 input pictures beside 32x32x3.*domains:"),
        ("cycle", (), False, "has no input pictures beside 32x32x3.*unpaired:"),
        ("noise_to_image", (), False, ""),
        ("noise_to_image", SMALL, True, "would ignore: objective=image_to_image with"),
        ("infogan", SQUARE, False, "infogan would ignore: objective=cycle .*emoji"),
    ],
)
def test_an_objective_has_the_input_pictures_that_it_needs(
    objective, source_shape, paired, reason
):
    c = config.base()
    c.objective, c.data.source = objective, "emoji"
    if not reason:
        check_data(c, SQUARE, 0, source_shape, paired)
        return
    with pytest.raises(UserError, match=reason):
        check_data(c, SQUARE, 0, source_shape, paired)
