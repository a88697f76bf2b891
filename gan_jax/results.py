"""What a sweep has found: results.csv and TensorBoard's HParams view, from the members' folders."""

import csv
import io
from pathlib import Path
from typing import Any

from gan_jax.best import best_of
from gan_jax.board import write_hparams
from gan_jax.doctor import HEALTHY
from gan_jax.files import write_atomic
from gan_jax.plan import Member, folder_of
from gan_jax.record import columns
from gan_jax.rows import of_layer, read_object
from gan_jax.saved import POINTER


class Results:
    """A line for each member; those of finished groups are read once."""

    def __init__(self, workdir: Path):
        """Nothing is read yet."""
        self.workdir = workdir
        self.known: dict[str, dict[str, Any]] = {}

    def keep(self, members: list[Member]) -> None:
        """Remember the lines of members whose files change no more."""
        for one in members:
            self.known.setdefault(one.name, result(self.workdir, one))

    def line(self, one: Member) -> dict[str, Any]:
        """A member's line: setting, status, findings, last metrics and evaluations, best evaluation."""
        return self.known.get(one.name) or result(self.workdir, one)

    def write(self, members: list[Member]) -> None:
        """Write results.csv."""
        rows = [self.line(one) for one in members]
        names = list(dict.fromkeys(name for row in rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_atomic(self.workdir / "results.csv", text.getvalue().encode())

    def write_board(self, members: list[Member]) -> None:
        """Write the HParams of all members: settings and last values."""
        table = {}
        for one in members:
            row = self.line(one)
            values = {k: v for k, v in row.items() if k not in {"member", *one.setting}}
            table[one.name] = (one.setting, values)
        write_hparams(self.workdir / "tensorboard", table)


def result(workdir: Path, one: Member) -> dict[str, Any]:
    """A member's line of results.csv, from its files."""
    folder = folder_of(workdir, one)
    table = columns(folder / "metrics.jsonl")
    pointer = folder / POINTER
    said = read_object(pointer, "remove it") if pointer.is_file() else {}
    step = table["step"][-1] if table else 0
    status = "done" if step == one.config.steps else "running" if said else "waiting"
    for ended, key in (("stopped", "stopped_at"), ("diverged", "halted_at")):
        if said.get(key) is not None:
            status, step = ended, said[key]
    found = columns(folder / "findings.jsonl").get("finding", [])
    ills = [name for name in dict.fromkeys(found) if name != HEALTHY]
    said_of = " ".join(ills) or (HEALTHY if found else "")
    row: dict[str, Any] = {"member": one.name, **one.setting}
    row |= {"status": status, "step": step, "findings": said_of}
    for name, column in table.items():
        if name not in ("step", "seconds") and not of_layer(name):
            row[f"final/{name}"] = column[-1]
    evals = columns(folder / "eval.jsonl")
    for name, value in zip(
        evals.get("metric", []), evals.get("value", []), strict=True
    ):
        row[f"final/{name}"] = value
    best = best_of(folder, one.config.eval.best)
    if best is not None:
        row[f"best/{best.metric}"] = best.value
    return row
