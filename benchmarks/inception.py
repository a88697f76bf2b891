"""Pictures a second through FID's Inception beside torch-fidelity's extractor, the same random weights and pictures.

    python -m benchmarks.inception --n=32 --side=32 --rounds=5

torch-fidelity is measured if it is installed (see tests/golden/make_inception.py), in batches of --batch, once as its
metrics run it and once in channels_last. All ways run in turn in one process on all cores; for one core put
`taskset -c 0` before the line. CPU ms counts every thread of the process, so that it holds on a busy machine. Pool
features must agree to 2e-5 of the largest, or it stops.
"""

import argparse
import json
import os
import time

import numpy as np

from gan_jax.eval import inception
from tests.golden import make_inception as golden


def ways(state, images, batch):
    """{name: function of no arguments that gives the pool features}."""
    params = inception.from_torch_state(state)
    found = {"gan_jax": lambda: inception.apply(params, images)["pool"]}
    try:
        network = golden.extractor(state)
        import torch
    except ImportError:
        return found
    torch.set_num_threads(len(os.sched_getaffinity(0)))

    def fidelity(network):
        parts = [images[i : i + batch] for i in range(0, len(images), batch)]
        return np.concatenate([golden.features(network, x)["pool"] for x in parts])

    last = golden.extractor(state).to(memory_format=torch.channels_last)
    return {
        "torch-fidelity": lambda: fidelity(network),
        "torch-fidelity, channels_last": lambda: fidelity(last),
        **found,
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=32)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with np.load(golden.FILE) as file:
        state = golden.state(json.loads(str(file["shapes"])))
    random = np.random.RandomState(0)
    images = random.randint(0, 256, (args.n, args.side, args.side, 3)).astype(np.uint8)
    runs = ways(state, images, args.batch)
    pools = [run() for run in runs.values()]  # compiles, too
    for pool in pools:
        assert abs(pool - pools[0]).max() < 2e-5 * abs(pools[0]).max()
    walls, cpus = ({name: [] for name in runs} for _ in range(2))
    for _ in range(args.rounds):
        for name, run in runs.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            walls[name].append((time.perf_counter() - wall) / args.n)
            cpus[name].append((time.process_time() - cpu) / args.n)
    cores = len(os.sched_getaffinity(0))
    print(
        "| way | cores | pictures/s, median (min - max) | CPU ms a picture | times as fast |"
    )
    print("|---|---|---|---|---|")
    base = np.array(next(iter(walls.values())))
    for name in runs:
        wall = np.array(walls[name])
        rate = 1 / np.array([np.median(wall), wall.max(), wall.min()])
        print(
            f"| {name} | {cores} | {rate[0]:.1f} ({rate[1]:.1f} - {rate[2]:.1f}) "
            f"| {1e3 * np.median(cpus[name]):.0f} | {np.median(base / wall):.2f} |"
        )


if __name__ == "__main__":
    main()
