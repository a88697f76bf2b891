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
from collections import Counter
from copy import deepcopy
from functools import partial
from itertools import product

import jax
import numpy as np

from gan_jax import config as configs
from gan_jax import data
from gan_jax.chunk import make_chunk, resident
from gan_jax.job import assemble
from gan_jax.models.basic import halvings
from gan_jax.parallel import numbers
from gan_jax.population import BACKENDS, Population
from gan_jax.step import init, make_step, prepare
from gan_jax.turns import bind
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


def first_latents(job, config):
    """What G is fed in a member's first step: the keys are split as in step.py and turns.py."""
    key = jax.random.fold_in(jax.random.key(config.seed), 0)
    dream = jax.random.fold_in(jax.random.split(key, 3)[1], 0)
    noise_key = jax.random.split(jax.random.split(dream)[0])[0]
    blank = Batch(np.zeros(config.batch_size))
    return np.array(bind(job.recipe, job.nets).inputs(noise_key, blank)[0])


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


def torch_networks(spec, momentum):
    """G and D of a ModelSpec in PyTorch, the layers in our order; `momentum`: of BatchNorm, as PyTorch counts it."""
    from torch import nn

    class Permute(nn.Module):
        def __init__(self, *axes):
            super().__init__()
            self.axes = axes

        def forward(self, x):
            return x.permute(self.axes)

    w, z, out = spec.width, spec.latent_dim, spec.image_shape[-1]
    relu, leaky = nn.ReLU(inplace=True), nn.LeakyReLU(0.2, inplace=True)
    if spec.name == "mlp":
        gen = nn.Linear(z, w), relu, nn.Linear(w, w), relu, nn.Linear(w, out)
        disc = nn.Linear(out, w), leaky, nn.Linear(w, w), leaky, nn.Linear(w, 1)
        return nn.Sequential(*gen), nn.Sequential(*disc)
    side = halvings(spec.image_shape)[0]
    flat, twice = side * side * 2 * w, {"kernel_size": 4, "stride": 2, "padding": 1}
    up, down = partial(nn.ConvTranspose2d, **twice), partial(nn.Conv2d, **twice)
    first = nn.Linear(z, flat, bias=False), nn.Unflatten(1, (side, side, 2 * w))
    norms = [nn.BatchNorm2d(n, momentum=momentum) for n in (2 * w, w)]
    inner = norms[0], relu, up(2 * w, w, bias=False), norms[1], relu
    gen = *first, Permute(0, 3, 1, 2), *inner, up(w, out), nn.Tanh()
    lower = down(out, w), leaky, down(w, 2 * w), leaky
    disc = *lower, Permute(0, 2, 3, 1), nn.Flatten(), nn.Linear(flat, 1)
    return nn.Sequential(*gen), nn.Sequential(*disc)


def copy_into(net, params):
    """Our parameters into a PyTorch network."""
    seen = Counter()
    for layer in (x for x in net if hasattr(x, "weight")):
        kind = type(layer).__name__.removesuffix("2d").replace("Linear", "Dense")
        own = params[f"{kind}_{seen[kind]}"]
        seen[kind] += 1
        for name, x in own.items():
            x = np.array(x).transpose(3, 2, 0, 1) if x.ndim == 4 else np.array(x).T
            whole = layer.bias if name == "bias" else layer.weight
            whole.data.copy_(whole.new_tensor(x))


def torch_member(job, config, state, device):
    """step(t, real, z) of one member in PyTorch, from our first state: iteration t, its losses as tensors."""
    import torch

    soft, r1 = torch.nn.functional.softplus, config.penalty.r1
    gen, disc = torch_networks(job.recipe.model, 1 - config.model.norm_momentum)
    optims = []
    for name, net in (("gen", gen), ("disc", disc)):
        copy_into(net, getattr(state.players, name).params)
        net.to(device, memory_format=torch.channels_last)
        o, own = config.optim[name], net.parameters()
        optims.append(torch.optim.Adam(own, o.lr, (o.b1, o.b2), o.eps, fused=True))
    live = [*gen.parameters(), *(x for x in gen.buffers() if x.is_floating_point())]
    ema = [x.detach().clone() for x in live]

    def update(optim, loss):
        optim.zero_grad(set_to_none=True)
        loss.backward()
        optim.step()

    def step(t, real, z):
        fake, told = gen(z), {}
        both = torch.cat([real.requires_grad_(r1 > 0), fake.detach()])
        of_real, of_fake = disc(both).chunk(2)  # no norm in D: one pass is the same
        total = told["loss/disc"] = soft(-of_real).mean() + soft(of_fake).mean()
        if r1:
            slope = torch.autograd.grad(of_real.sum(), real, create_graph=True)[0]
            told["penalty/r1"] = 0.5 * slope.square().sum((1, 2, 3)).mean()
            total = total + r1 * told["penalty/r1"]
        update(optims[1], total)
        disc.requires_grad_(False)
        told["loss/gen"] = soft(-disc(fake)).mean()
        update(optims[0], told["loss/gen"])
        disc.requires_grad_(True)
        decay = min(config.ema_decay, (1 + t) / (10 + t))
        if decay:  # without it the average is G itself
            with torch.no_grad():
                torch._foreach_lerp_(ema, live, 1 - decay)
        return {name: x.detach() for name, x in told.items()}

    return step


def torch_loop(job, members, threads):
    """chunk(step, n) in PyTorch: member after member; the last step's losses of each."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cudnn.allow_tf32 = False
    images = prepare(Batch(job.dataset.images[None]), False, None).image[0]
    table = torch.from_numpy(np.array(images)).to(device)
    table = table.permute(0, 3, 1, 2) if table.ndim == 4 else table
    shape = job.recipe.batch_size, job.recipe.model.latent_dim
    pairs = zip(members, first_states(job, members), strict=True)
    steps = [torch_member(job, *pair, device) for pair in pairs]

    def chunk(start, n):
        torch.set_num_threads(threads)
        told = []
        for i, config in enumerate(members):
            rows = torch.from_numpy(rows_of(job, config, start, n)[:, 0]).to(device)
            z = torch.randn(n, *shape, device=device)
            if start == 0:
                z[0] = torch.from_numpy(first_latents(job, config))
            for t in range(n):
                losses = steps[i](start + t, table[rows[t]], z[t])
            told.append(losses)
        if device == "cuda":
            torch.cuda.synchronize()
        return told

    return chunk


def check(ours, theirs):
    """Stop unless PyTorch's losses of the first step, of each member, are ours."""
    for name in theirs[0]:
        a, b = (np.array([float(x[name]) for x in told]) for told in (ours, theirs))
        if not np.allclose(b, a, rtol=1e-4, atol=0):
            raise SystemExit(f"first step: {name} is {a}, in PyTorch {b}")


def ways_of(job, members, args):
    """{name: (chunk, members that it trains)}, each after a first step, and how many are PyTorch: the first ones."""
    ways, few = {}, spread(members, args.torch_members)
    for threads in sorted({1, CORES} if args.torch else ()):
        name = f"PyTorch loop, threads: {threads} ({len(few)} members timed)"
        ways[name] = torch_loop(job, few, threads), len(few)
    loops = len(ways)
    ways["gan_jax, single runs"] = singles(job, members), len(members)
    for name, row in BACKENDS.items():
        if row.spread <= (len(jax.local_devices()) > 1):
            ways[f"gan_jax, {name}"] = together(job, members, name), len(members)
    told = [chunk(0, 1) for chunk, _ in ways.values()]
    for theirs in told[:loops]:
        check(spread(told[loops], len(few)), theirs)
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
