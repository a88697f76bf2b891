"""Steps until all 8 modes are held, for each rule and learning rate of the sweep of plan.py.

    python -m experiments.rules_of_play.table --workdir=runs/rules

Held from the first evaluation after which no evaluation found fewer than 8 modes, if that is at least 1,000 iterations
before the end. Writes results.csv beside this file and
prints a table in Markdown: of each rule the learning rate with the most seeds that hold, then the fewest steps.
"""

import argparse
import csv
import statistics
from pathlib import Path

from experiments.rules_of_play.plan import RATES, RULES, SEEDS
from gan_jax.record import columns

FOLDER = Path(__file__).parent
LONG = 1_000  # iterations that 8 modes have to stay
COLUMNS = ("rule", "lr", "seed", "reached", "held", "modes", "high_quality")


def member(folder: Path) -> dict:
    """What a member's evaluations say: the step that reached 8 modes, the one from which they were held ("" for never)."""
    table = columns(folder / "eval.jsonl")
    rows = zip(table["metric"], table["step"], table["value"], strict=True)
    seen = [(step, value) for name, step, value in rows if name == "modes"]
    quality = [
        value
        for name, value in zip(table["metric"], table["value"], strict=True)
        if name == "high_quality"
    ]
    whole = [step for step, value in seen if value == 8]
    less = [step for step, value in seen if value < 8]
    end = seen[-1][0] - LONG
    held = [step for step in whole if step <= end and step > max(less, default=0)]
    return {
        "reached": whole[0] if whole else "",
        "held": held[0] if held else "",
        "modes": int(seen[-1][1]),
        "high_quality": round(quality[-1], 4),
    }


def spread(steps: list[int]) -> str:
    """The median, and the least and most."""
    if not steps:
        return "never"
    return f"{statistics.median(steps):,.0f} ({min(steps):,} to {max(steps):,})"


def main() -> None:
    """Read the sweep, write results.csv, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=Path, required=True)
    args = parser.parse_args()
    folders = sorted((args.workdir / "members").iterdir())
    settings = [
        (rule, lr, seed)
        for rule, (_, optimizer) in RULES.items()
        for lr in RATES[optimizer["name"]]
        for seed in range(SEEDS)
    ]
    rows = [
        dict(zip(COLUMNS[:3], setting, strict=True)) | member(folder)
        for setting, folder in zip(settings, folders, strict=True)
    ]
    with (FOLDER / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(
        "| rule | learning rate | seeds that hold 8 | steps until held | modes at the end | high quality, % |"
    )
    print("|---|---|---|---|---|---|")
    for rule in RULES:
        print(line(rule, [row for row in rows if row["rule"] == rule]))


def line(rule: str, rows: list[dict]) -> str:
    """A rule's line at its better learning rate."""

    def merit(lr: float) -> tuple[int, float, float]:
        mine = [row for row in rows if row["lr"] == lr]
        held = [row["held"] for row in mine if row["held"] != ""]
        modes = statistics.mean(row["modes"] for row in mine)
        return len(held), -statistics.median(held) if held else 0.0, modes

    lr = max({row["lr"] for row in rows}, key=merit)
    mine = [row for row in rows if row["lr"] == lr]
    held = [row["held"] for row in mine if row["held"] != ""]
    modes = [row["modes"] for row in mine]
    quality = [100 * row["high_quality"] for row in mine]
    return (
        f"| {rule} | {lr:g} | {len(held)} of {len(mine)} | {spread(held)} | "
        f"{statistics.mean(modes):.1f} +- {statistics.stdev(modes):.1f} | "
        f"{statistics.mean(quality):.0f} +- {statistics.stdev(quality):.0f} |"
    )


if __name__ == "__main__":
    main()
