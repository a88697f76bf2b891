"""The sources' claims over seeds, and a picture of each recipe.

    python -m experiments.source_recipes.run --what=frequency --seeds=5 --out=runs/frequency
    python -m experiments.source_recipes.run --what=gallery --minutes=10 --out=runs/gallery

frequency: cmu_mnist_gan at "generator frequency" 5 and 1, all seeds of one in a sweep (one program, resumable), with equal
numbers of D updates; DIR/results.csv gets a line for each run. gallery: each config of configs/sources (or of --only) in its
own process for so many minutes or --steps; DIR/NAME.png gets 64 samples, the terminal what a classifier reads in more of
them. What is there is not made again.
"""

import argparse
import csv
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

import gan_jax
from gan_jax import cli, config, data, images
from gan_jax.eval.classifier import load_or_train
from gan_jax.eval.judge import Judge
from gan_jax.feeding import showcase
from gan_jax.record import columns
from gan_jax.sampling import Run
from gan_jax.train import DIVERGED, DONE, INTERRUPTED

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "configs" / "sources"
WAITS = {5: 6, 1: 2}  # "frequency" -> D updates for one of G
SAMPLES = 1_000  # for classes and confidence
FRECHET = 5_000  # for the distance, as many as the pictures
PARTS = 4  # of a run: the distance is measured at the end of each
PRESENT = 0.02  # of the samples: a digit that is there
SAVED = (DONE, DIVERGED, INTERRUPTED)  # exit codes that leave a good step
SURE = 0.9  # probability of the classifier's best class
FAILURE = "cmu_mnist_gan:frequency1"
LAST = 10  # logged rows whose mean is the end of training
CURVES = ("disc/real", "disc/fake", "disc/accuracy", "loss/disc", "loss/gen")


def sweep(args: argparse.Namespace, frequency: int) -> Path:
    """Train all seeds of one frequency, or go on with it; its folder."""
    folder = Path(args.out) / f"frequency{frequency}"
    steps = args.steps // WAITS[frequency]
    words = [
        "sweep",
        f"--config={SOURCES}/cmu_mnist_gan.py:frequency{frequency}",
        f"--config.model.width={args.width}",
        f"--config.steps={steps}",
        f"--config.log_every={max(1, steps // 65)}",
        "--config.sample_every=0",
        f"--config.checkpoint_every={max(1, steps // PARTS)}",
        f"--config.eval.every={max(1, steps // PARTS)}",
        "--config.eval.metrics=fd_classifier",
        f"--config.eval.n={FRECHET}",
        f"--sweep=seed=0..{args.seeds - 1}",
        "--backend=map",
        f"--workdir={folder}",
    ]
    code = cli.main(words)
    if code:
        sys.exit(code)
    return folder


def classes(probability: np.ndarray) -> dict[str, float]:
    """What a classifier's probabilities [n, classes] of samples say: classes there, their entropy, how sure it is."""
    share = np.bincount(probability.argmax(1), minlength=probability.shape[1])
    share = share / len(probability)
    seen = share[share > 0]
    return {
        "digits": int((share >= PRESENT).sum()),
        "entropy": float(-(seen * np.log(seen)).sum()),
        "confident": float((probability.max(1) > SURE).mean()),
    }


def judged(run: Run) -> dict[str, float]:
    """What a classifier of a run's own labels reads in its samples; nothing where the pictures have none."""
    spec = config.data_spec(run.config)
    dataset = data.load(spec)
    if dataset.labels is None:
        return {}
    fed = run.feed(run.latents(FRECHET))
    samples = run.pictures(fed)
    logits = load_or_train(dataset).logits(samples[:SAMPLES])
    found = classes(np.asarray(jax.nn.softmax(logits)))
    if fed.label is not None:
        asked = np.asarray(fed.label[:SAMPLES])
        found["as_asked"] = float((logits.argmax(1) == asked).mean())
    judge = Judge(spec, dataset)
    (distance,) = judge.measure(judge.requests("fd_classifier"), samples)
    return found | {distance.name: distance.value}


def measured(member: Path) -> dict[str, float]:
    """The values of one run's latest generator (no average: the sources have none), and its way there."""
    curves = columns(member / "metrics.jsonl")
    ends = {name: float(np.mean(curves[name][-LAST:])) for name in CURVES}
    way = columns(member / "eval.jsonl")["value"]
    parts = {f"fd_at_{i}_of_{PARTS}": x for i, x in enumerate(way[:PARTS], 1)}
    return ends | judged(gan_jax.load(member)) | parts


def rows(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A line of results.csv for each run, as it is measured."""
    for frequency, waits in WAITS.items():
        folder = sweep(args, frequency)
        for seed, member in enumerate(sorted((folder / "members").iterdir())):
            head = {"frequency": frequency, "seed": seed, "width": args.width}
            gen = args.steps // waits
            updates = {"gen_updates": gen, "disc_updates": gen * waits}
            yield head | updates | measured(member)


def frequency(args: argparse.Namespace) -> None:
    """Train, measure, write results.csv, and print means with standard deviations."""
    lines = []
    for line in rows(args):
        lines.append(line)
        with open(Path(args.out) / "results.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, list(line))
            writer.writeheader()
            writer.writerows(lines)
    names = [name for name in lines[0] if name not in ("frequency", "seed")]
    print("| value | frequency 5 | frequency 1 |\n|---|---|---|")
    for name in names:
        cells = []
        for which in WAITS:
            values = [line[name] for line in lines if line["frequency"] == which]
            cells.append(f"{np.mean(values):.4g} +- {np.std(values):.2g}")
        print(f"| `{name}` | {' | '.join(cells)} |")


def pictured(name: str, args: argparse.Namespace) -> None:
    """Train one recipe in a process of its own, and write 64 samples of its latest generator."""
    stem, _, form = name.partition(":")
    title = f"{stem}_{form}" if form else stem
    folder, target = Path(args.out) / "runs" / title, Path(args.out) / f"{title}.png"
    if target.exists():
        return
    recipe = f"{SOURCES / stem}.py{name.removeprefix(stem)}"
    words = [sys.executable, "launch.py", f"--config={recipe}"]
    words += [f"--workdir={folder.absolute()}", *args.config]
    if args.steps:
        words.append(f"--config.steps={args.steps}")
    process = subprocess.Popen(words, cwd=ROOT)
    try:
        process.wait(60 * args.minutes or None)
    except subprocess.TimeoutExpired:
        process.terminate()  # it saves its state
        process.wait()
    if process.returncode not in SAVED:
        print(f"{name}: exit code {process.returncode}", file=sys.stderr)
        return
    run = gan_jax.load(folder)
    shown = showcase(run.recipe.model, jax.random.key(0), 64)
    images.save_png(target, images.grid(run.pictures(shown), shown.columns))
    said = "".join(f", {key} {value:.4g}" for key, value in judged(run).items())
    print(
        f"{target}: {run.step} of {config.load(recipe).steps} steps{said}", flush=True
    )


def gallery(args: argparse.Namespace) -> None:
    """A picture of each recipe."""
    names = [path.stem for path in sorted(SOURCES.glob("*.py"))]
    for name in args.only.split(",") if args.only else [*names, FAILURE]:
        pictured(name, args)


def main() -> None:
    """Run what the flags ask for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--what", choices=WHAT, required=True)
    parser.add_argument("--out", required=True, help="folder of all that is written")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--steps",
        type=int,
        default=0,
        help="frequency: D updates of each run (default 50 epochs of 5,000 pictures); gallery: steps (default: its own)",
    )
    parser.add_argument("--width", type=int, default=8, help="32 is the source's")
    parser.add_argument("--minutes", type=float, default=0.0, help="of each recipe")
    parser.add_argument(
        "--only", default="", help="recipes NAME or NAME:FORM, with commas"
    )
    args, args.config = parser.parse_known_args()
    if args.what == "frequency" and not args.steps:
        args.steps = EPOCHS
    Path(args.out).mkdir(parents=True, exist_ok=True)
    WHAT[args.what](args)


EPOCHS = 1_950  # 50 epochs of 39 batches of 128
WHAT = {"frequency": frequency, "gallery": gallery}

if __name__ == "__main__":
    main()
