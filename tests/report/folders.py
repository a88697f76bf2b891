"""Run and sweep folders as the programs write them, made in milliseconds."""

import csv
import itertools
import json
from pathlib import Path

import numpy as np

from gan_jax.images import save_png

CONFIG = {
    "seed": 0,
    "steps": 1000,
    "loss": "rp",
    "data": {"source": "ring"},
    "optim": {"disc": {"lr": 1e-3, "b1": 0.5}, "gen": {"lr": 1e-3}},
    "penalty": {"r1": 0.0},
}
DEFAULTS = {
    "seed": 0,
    "steps": 20_000,
    "loss": "rp",
    "data.source": "fashion_mnist",
    "optim.disc.lr": 1e-3,
    "optim.disc.b1": 0.5,
    "optim.gen.lr": 1e-3,
    "penalty.r1": 0.0,
}
PROTOCOL = {"n_fake": 2500, "real": "ring", "weights": "ema", "seed": 0}
FIELDS = ["optim.disc.lr", "penalty.r1", "seed"]


def changed(fields, base=CONFIG):
    """A copy of the nested config with dotted fields set."""
    config = json.loads(json.dumps(base))
    for name, value in fields.items():
        *path, last = name.split(".")
        inside = config
        for part in path:
            inside = inside.setdefault(part, {})
        inside[last] = value
    return config


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def make_run(folder, fields=None, end=1000, pictures=(0, 500, 1000), size=24):
    """A run folder; `fields` are dotted names; numbers follow from lr and seed."""
    folder = Path(folder)
    config = changed(fields or {})
    seed, lr = config["seed"], config["optim"]["disc"]["lr"]
    (folder / "samples").mkdir(parents=True)
    about = {"config": config, "versions": {"jax": "0.10.2"}, "git": "4acf612"}
    about |= {"command": "python launch.py --config=configs/ring.py"}
    about |= {"data": {"name": "ring", "digest": "98" * 32, "shape": [2]}}
    (folder / "config.json").write_text(json.dumps(about))
    draw, rows = np.random.default_rng(seed), []
    for step in range(100, end + 1, 100):
        noise = float(draw.normal()) / 20
        row = {"step": step, "loss/disc": 1.3 - step * lr / 1000 + noise}
        row |= {"loss/gen": 0.7 + noise, "disc/real": 0.6 + noise, "disc/fake": 0.4}
        row |= {"disc/accuracy": 0.6, "grad/disc": 10 ** (noise * 40)}
        row |= {"grad/gen": 0.2 + noise, "penalty/r1": 0.05, "images_per_s": 8e4}
        rows.append(row | {"seconds": step / 100})
    lines(folder / "metrics.jsonl", rows)
    made = [
        {
            "step": step,
            "metric": name,
            "value": value,
            "protocol": PROTOCOL,
            "by": "training",
        }
        for step in (end // 2, end)
        for name, value in (("modes", 6 + seed % 3), ("reverse_kl", lr * (1 + seed)))
    ]
    lines(folder / "eval.jsonl", made)
    for step in pictures:
        picture = np.full((size, size, 3), 40 + step * 200 // 3000, np.uint8)
        picture[: size // 2] = 20 * seed
        save_png(folder / "samples" / f"step_{step:08d}.png", picture)
    return folder


def make_sweep(folder, rates=5, weights=5, seeds=5, results=True, **options):
    """A sweep over D's rate, R1 and the seed; member 0001 diverged at step 400."""
    folder = Path(folder)
    grid = itertools.product(
        [round(1e-4 * 3**i, 6) for i in range(rates)],
        [0.0, 0.1, 1.0, 10.0, 100.0][:weights],
        range(seeds),
    )
    members, table = [], []
    for i, values in enumerate(grid):
        setting, name = dict(zip(FIELDS, values, strict=True)), f"{i:04d}"
        members.append({"name": name, "group": 0, "index": i, "setting": setting})
        end = 400 if i == 1 else 1000
        make_run(folder / "members" / name, setting, end, **options)
        status = "diverged" if i == 1 else "done"
        kl = "" if i == 1 else setting["optim.disc.lr"] * (1 + setting["penalty.r1"])
        table.append([name, *values, status, end, kl, 6 + i % 3])
    plan = {
        "command": "python launch.py sweep --config=configs/ring.py",
        "fields": FIELDS,
    }
    plan |= {
        "members": members,
        "groups": [{"backend": "vmap", "members": len(members)}],
    }
    (folder / "sweep.json").write_text(json.dumps(plan))
    if results:
        head = ["member", *FIELDS, "status", "step", "final/reverse_kl", "best/modes"]
        with open(folder / "results.csv", "w", newline="") as file:
            csv.writer(file).writerows([head, *table])
    return folder
