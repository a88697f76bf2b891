"""A user's own image-to-image data: folders of pairs, pairs side by side, or a folder for each domain.

Pictures are decoded through the same cache, with the same limits, as those of `folder:DIR`. Sub-folders train/ and
test/ (or val/) are the splits; where there are none, every tenth picture is test (`pairs.tenths`).
"""

from pathlib import Path

import numpy as np

from gan_jax.data.archives import facts_of, folder_pictures, labels_of, load_folder
from gan_jax.data.cache import load_or_decode
from gan_jax.data.pairs import take, tenths, two_domains
from gan_jax.data.pictures import Half, Labels
from gan_jax.data.pool import NAMED, printable
from gan_jax.data.spec import DataError, Dataset, DataSpec, check_split, in_memory

_SPLITS = ("train", "test")
_TESTS = ("test", "val")
_SIDES = (("source", "target"), ("A", "B"))
_HELP = """{folder} holds no pairs: put pictures of the same names into its sub-folders source/ and target/ (or A/ and B/),
or pictures that are twice as wide as high, the source left and the target right, into it"""


def load_paired(spec: DataSpec, argument: str) -> Dataset:
    """Return a folder's pairs: sources, and images of the same names (without suffix), or left and right halves.

    The pairs are sorted by name; resolution and crop apply to each picture or half, and sources and images may differ in
    size. Sub-folders (below source/ and target/) are labels. A pair is left out whole (`DataSpec.skip_bad`).
    Raises DataError for a picture without its partner, which is named, and as `archives.load_folder`.
    """
    check_split(spec, _SPLITS)
    folder = Path(argument).expanduser().absolute()
    if not folder.is_dir():
        raise DataError(
            f"there is no folder {str(folder)!r} (data source {spec.source!r})"
        )
    top, divided = _below(folder, spec.split)
    pairs = ([top / name for name in names] for names in _SIDES)
    sides = next((pair for pair in pairs if all(p.is_dir() for p in pair)), None)
    if sides is None:
        names, both = _halves(spec, top)
    else:
        below = [_below(side, spec.split) for side in sides]
        divided = divided or all(own for _, own in below)
        names, both = _partners([place for place, _ in below], spec)
    return _joined(spec, names, both, divided)


def load_unpaired(spec: DataSpec, argument: str) -> Dataset:
    """Return the pictures of two folders, "DIR_A,DIR_B", as two domains: sources and images (`pairs.two_domains`).

    Raises DataError as `archives.load_folder` for each.
    """
    check_split(spec, _SPLITS)
    folders = argument.split(",")
    if len(folders) != 2 or not all(folders):
        raise DataError(
            f"data source {spec.source!r} is written --config.data.source=unpaired:DIR_A,DIR_B; no comma in their names"
        )
    domains = []
    for text in folders:
        folder, divided = _below(Path(text).expanduser().absolute(), spec.split)
        own = spec._replace(source=f"folder:{folder}", split="train")
        data = load_folder(own, str(folder))
        every = np.arange(len(data.images))
        rows = every if divided else tenths(len(every), spec._replace(source=text))
        domains.append(data._replace(images=take(data.images, rows)))
    a, b = domains
    return two_domains(spec.source, a.images, b.images, a.skipped + b.skipped)


def unpaired_available(argument: str) -> bool:
    """Whether both folders are there."""
    return all(Path(text).expanduser().is_dir() for text in argument.split(","))


def _below(folder: Path, split: str) -> tuple[Path, bool]:
    """The folder that holds a split, and whether it holds nothing of the other one."""
    train = folder / "train"
    test = next((folder / n for n in _TESTS if (folder / n).is_dir()), None)
    if not train.is_dir():
        return folder, False
    if test is None:
        return train, False
    return (test if split == "test" else train), True


def _partners(sides: list[Path], spec: DataSpec) -> tuple[list[str], list[Dataset]]:
    """Names without suffix, and both sides' pictures in their order; labels are the places in it."""
    facts = [facts_of(side) for side in sides]
    found = [
        _stems(side, list(files)) for side, files in zip(sides, facts, strict=True)
    ]
    lacks = [(name, 1) for name in sorted(found[0].keys() - found[1].keys())]
    lacks += [(name, 0) for name in sorted(found[1].keys() - found[0].keys())]
    if lacks:
        lines = [f"  {printable(n)} is not in {sides[k]}" for n, k in lacks[:NAMED]]
        more = [f"  and {len(lacks) - NAMED} more"] * (len(lacks) > NAMED)
        raise DataError(
            f"data source {spec.source!r} has {len(lacks)} pictures without a partner of the same name:\n"
            + "\n".join(lines + more)
        )
    names, both = sorted(found[0]), []
    for side, files, files_of in zip(sides, facts, found, strict=True):
        listed = [files_of[name] for name in names]
        pictures = folder_pictures(side, files, listed, _places)
        pictures = pictures._replace(key=f"a side of pairs, {pictures.key}")
        own = spec._replace(source=f"folder:{side}", split="train")
        both.append(load_or_decode(pictures, own))
    return names, both


def _stems(side: Path, names: list[str]) -> dict[str, str]:
    """Name without suffix -> name. Raises DataError for two of one name."""
    stems: dict[str, str] = {}
    for name in sorted(names):
        stem = str(Path(name).with_suffix(""))
        if stem in stems:
            raise DataError(
                f"{side} has two pictures of one name, {printable(stems[stem])} and {printable(name)}: remove one"
            )
        stems[stem] = name
    return stems


def _halves(spec: DataSpec, folder: Path) -> tuple[list[str], list[Dataset]]:
    """As `_partners`, of the left and right halves of a folder's pictures."""
    facts = facts_of(folder)
    if not facts:
        raise DataError(_HELP.format(folder=folder))
    names, both = sorted(facts), []
    whole = folder_pictures(folder, facts, names, _places)
    for number, side in enumerate(("left", "right")):
        pictures = whole._replace(
            read=lambda i, number=number: Half(whole.read(i), number),
            key=f"{side} halves, {whole.key}",
        )
        both.append(load_or_decode(pictures, spec._replace(split="train")))
    return names, both


def _places(kept: list[int]) -> Labels:
    """Which pictures were kept, in place of labels: what is left out on one side is left out on the other."""
    return np.array(kept, np.int32), ()


def _joined(
    spec: DataSpec, names: list[str], both: list[Dataset], divided: bool
) -> Dataset:
    """The pairs of which both sides could be read, and of these the split's, unless the folder was divided."""
    source, target = both
    places = np.intersect1d(source.labels, target.labels, return_indices=True)
    if not len(places[0]):
        raise DataError(f"data source {spec.source!r} has no pair that can be read")
    if not divided:
        rows = tenths(len(places[0]), spec)
        places = [x[rows] for x in places]
    kept, left, right = places
    data = in_memory(
        take(target.images, right),
        *labels_of([names[i] for i in kept]),
        spec.source,
        take(source.images, left),
        True,
    )
    skipped = dict.fromkeys(source.skipped + target.skipped)
    return data._replace(skipped=tuple(skipped))
