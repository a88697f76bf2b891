"""`python launch.py report`: a run, several runs or a sweep as one HTML page."""

import argparse
import os
from pathlib import Path

from gan_jax.config import ConfigError
from gan_jax.eval.features import FEATURES
from gan_jax.eval.measures import METRICS, named
from gan_jax.fields import FIELDS
from gan_jax.files import write_atomic


def flags(parser: argparse.ArgumentParser) -> None:
    """Flags of report."""
    parser.add_argument(
        "--workdir",
        required=True,
        action="append",
        metavar="DIR[,DIR...]",
        help="a run's or a sweep's folder; several runs with commas or the flag again",
    )
    parser.add_argument(
        "--out",
        help="the page (default report.html in the folder, or in the one around several)",
    )


def run(
    args: argparse.Namespace, overrides: list[tuple[str, str]], command: str
) -> int:
    """Write the page and print where it is."""
    from gan_jax.report import build, read  # matplotlib is slow to import

    del command
    if overrides:
        raise ConfigError("report takes no --config.*: a run's config is in its folder")
    folders = [folder for text in args.workdir for folder in folders_of(text)]
    around = Path(os.path.commonpath([folder.resolve() for folder in folders]))
    inside = folders[0] if len(folders) == 1 else around
    out = Path(args.out or inside / "report.html")
    defaults = {name: field.default for name, field in FIELDS.items()}
    page = build(read(folders), defaults, directions())
    write_atomic(out, page.encode())
    print(out)
    return 0


def folders_of(text: str) -> list[Path]:
    """The folders that a --workdir names: one whose name has a comma is itself."""
    if Path(text).is_dir():
        return [Path(text)]
    return [Path(part) for part in text.split(",") if part] or [Path(text)]


def directions() -> dict[str, int]:
    """Every value that a metric gives, by its full name: 1 where higher is better, -1 where lower is."""
    return {
        named(value, end): better
        for row in METRICS.values()
        for value, better in row.better.items()
        for end in (FEATURES if row.features else [""])
    }
