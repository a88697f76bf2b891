"""Many small GANs: a population beside the same members one after another, as single runs and as a PyTorch loop.

    python -m benchmarks.population --what=ring,dcgan --rounds=5

ring: 256 GANs of configs/ring_plain.py, 16 learning rates x 16 seeds; dcgan: 64 of configs/dcgan_fashion.py at width 16,
16 x 4. Ways, in turn in one process, each on members of its own: an eager PyTorch loop, member after member; the program
of a single run on one device, called for member after member; every backend of a population that the devices allow (on
a CPU one JAX device a core, as a sweep has them). PyTorch does the same mathematics without the check for finite numbers
and the logged metrics; its data are a float tensor on its device. Float32, no TF32. It is timed on --torch-members of
the members, evenly spread (one after another, time goes as their number), with one thread and with all cores; its
threads wait for one another, so other work on the machine slows it most. Its first losses from our weights, examples
and latents must agree to 1e-4, or it stops. Prints a Markdown table of member-steps a second (median and range over
rounds) and their ratio (the rounds' median) to PyTorch, the faster of its two in each round, and to our single runs.
"""

import argparse
import importlib.util
import os
import time
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from functools import partial
from itertools import product

import jax
import numpy as np

from benchmarks.cases import Drawn, Setting, drawn, floats
from gan_jax import config as configs
from gan_jax import data
from gan_jax.chunk import make_chunk, resident
from gan_jax.job import assemble
from gan_jax.parallel import numbers
from gan_jax.population import BACKENDS, Population
from gan_jax.step import init, make_step
from gan_jax.types import Batch

CASES = {  # config file, what is changed in it, seeds of each learning rate
    "ring": ("ring_plain.py", [], 16),
    "dcgan": ("dcgan_fashion.py", [("model.width", "16")], 4),
}
COLUMNS = "member-steps/s, median (min - max) | times PyTorch | times single runs"
CORES = len(os.sched_getaffinity(0))


def spread(items, count):
    """`count` of the items, evenly spread; 0: all."""
    count = min(count or len(items), len(items))
    return [items[i * len(items) // count] for i in range(count)]


def members_of(what, steps):
    """The configs of all members of a case."""
    file, changes, seeds = CASES[what]
    base = configs.loaded(f"configs/{file}", changes)
    base.scan_steps = steps
    members = []
    for rate, seed in product(np.geomspace(1e-4, 3e-3, 16), range(seeds)):
        members.append(deepcopy(base))
        members[-1].seed = seed
        members[-1].optim.gen.lr = members[-1].optim.disc.lr = float(rate)
    return members


def rows_of(job, config, step, n):
    """The examples of a member's n steps after `step`, int32 [n, 1, B]."""
    batch, size = config.batch_size, len(job.dataset.images)
    return data.indices(config.seed, step, n, 1, batch, size)


def first_states(job, members):
    """Each member's state before its first step."""
    start = jax.jit(partial(init, job.recipe, job.nets))
    return [start(configs.hyper_of(own), np.uint32(own.seed)) for own in members]


def singles(job, members):
    """chunk(step, n) of our single-run program: member after member; the last step's metrics of each."""
    table = jax.device_put(Batch(job.dataset.images, job.dataset.labels))
    step = make_step(job.recipe, job.nets)
    run = jax.jit(make_chunk(step, resident), donate_argnums=0)
    states = first_states(job, members)

    def chunk(step, n):
        told = []
        for i, config in enumerate(members):
            rows = numbers(rows_of(job, config, step, n), config.scan_steps)
            states[i], metrics = run(states[i], (table, rows), np.int32(n))
            told.append(jax.block_until_ready(metrics))
        return told

    return chunk


def together(job, members, backend):
    """chunk(step, n) of a population."""
    population = Population(job, members, backend)
    states = population.init()

    def chunk(step, n):
        nonlocal states
        states = jax.block_until_ready(population.chunk(states, step, n)[0])

    return chunk


def torch_loop(job, members, threads):
    """chunk(step, n) in PyTorch: member after member; the last step's losses of each."""
    import torch

    from benchmarks.twins import twin

    states = first_states(job, members)
    settings = [
        Setting(
            own,
            job.recipe,
            job.nets,
            configs.hyper_of(own),
            job.dataset.images.shape[1:],
        )
        for own in members
    ]
    pairs = list(zip(settings, states, strict=True))
    twins = [twin(*pair, "best") for pair in pairs]
    start_z = [drawn(*pair).disc for pair in pairs]
    device, shape = twins[0].device, start_z[0].shape
    table = twins[0].placed(floats(Batch(job.dataset.images[None])))[0]

    def chunk(start, n):
        torch.set_num_threads(threads)
        told = []
        for i, config in enumerate(members):
            rows = torch.from_numpy(rows_of(job, config, start, n)).to(device)
            z = torch.randn(n, *shape, device=device)
            if start == 0:
                z[0] = torch.tensor(start_z[i])
            for t in range(n):
                losses = twins[i].step(table[rows[t]], Drawn(z[t]))
            told.append(losses)
        twins[0].sync()
        return told

    return chunk


def agree(ours, theirs):
    """Stop unless PyTorch's losses of a member's first step are ours."""
    from benchmarks import twins

    twins.agree(ours, theirs, 1e-4)


def ways_of(job, members, args):
    """{name: (chunk, members that it trains)}, each after a first step, and how many are PyTorch: the first ones."""
    ways, few = {}, spread(members, args.torch_members)
    gpu = jax.default_backend() == "gpu"
    for threads in sorted({1, 1 if gpu else CORES} if args.torch else ()):
        name = f"PyTorch loop, threads: {threads} ({len(few)} members timed)"
        ways[name] = torch_loop(job, few, threads), len(few)
    loops = len(ways)
    ways["gan_jax, single runs"] = singles(job, members), len(members)
    for name, row in BACKENDS.items():
        if row.spread <= (len(jax.local_devices()) > 1):
            ways[f"gan_jax, {name}"] = together(job, members, name), len(members)
    with ThreadPoolExecutor(len(ways) if gpu else 1) as pool:  # they compile
        told = list(pool.map(lambda way: way[0](0, 1), ways.values()))
    for theirs in told[:loops]:
        for pair in zip(spread(told[loops], len(few)), theirs, strict=True):
            agree(*pair)
    return ways, loops


def rate(chunk, count, step, n):
    """Member-steps a second of one chunk."""
    begin = time.perf_counter()
    chunk(step, n)
    return count * n / (time.perf_counter() - begin)


def measure(what, args):
    """Print a case's rows of the table."""
    members = spread(members_of(what, args.steps), args.members)
    ways, loops = ways_of(assemble(members[0]), members, args)
    starts, n = range(1, 1 + args.steps * args.rounds, args.steps), args.steps
    rates = np.array([[rate(*way, i, n) for way in ways.values()] for i in starts])
    bases = [rates[:, :loops].max(1, initial=0), rates[:, loops]]
    for name, x in zip(ways, rates.T, strict=True):
        span = f"{np.median(x):.0f} ({x.min():.0f} - {x.max():.0f})"
        times = [f"{np.median(x / y):.2f}" if y.all() else "" for y in bases]
        print(f"| {len(members)} x {what} | {name} | {span} | {' | '.join(times)} |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--what", default="ring,dcgan")
    parser.add_argument("--members", type=int, default=0, help="0: all")
    parser.add_argument("--steps", type=int, default=10, help="of a member in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--torch-members", type=int, default=8)
    parser.add_argument("--no-torch", dest="torch", action="store_false")
    args = parser.parse_args()
    if args.torch and not importlib.util.find_spec("torch"):
        parser.exit(2, "PyTorch is missing: pip install torch, or give --no-torch\n")
    jax.config.update("jax_num_cpu_devices", CORES)
    if jax.default_backend() != "cpu":
        jax.config.update("jax_default_matmul_precision", "highest")
    print(f"| case | way | {COLUMNS} |\n|---|---|---|---|---|")
    for what in args.what.split(","):
        measure(what, args)


if __name__ == "__main__":
    main()
