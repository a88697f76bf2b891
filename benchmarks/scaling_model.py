"""What data parallelism costs on accelerators that are not here: computed, nothing is measured (see scaling.py)."""

import math
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import numpy as np

from gan_jax import config as configs
from gan_jax import models
from gan_jax.step import init, make_step
from gan_jax.types import Batch

ACCELERATORS = 8, 64, 512
UTILISATIONS = 0.25, 0.5
OVERLAP = (
    0.5  # of a step in which gradients can be sent: backward passes, less their ends
)
ENOUGH = 0.8  # the efficiency below which data parallelism does not pay


class Net(NamedTuple):
    """A network of the computed tables: picture side, batch a device, FLOPs of an iteration by its batch, config."""

    side: int
    batch: int
    flops: float  # by --count
    changes: dict[str, Any]


class Machine(NamedTuple):
    """An accelerator. Bandwidths are bytes/s of one chip in one direction: within a group, and between groups (0: none)."""

    peak: float  # FLOP/s, bfloat16
    near: float
    group: int
    far: float
    latency: Any  # of an all-reduce over n chips, seconds


def nccl(n: int) -> float:
    """Tree, small messages: NCCL's own table (src/graph/tuning.cc, v2.8: 4.4, 0.52 and 5.0 us), rounded."""
    return (4.4 + 2 * (0.5 * (min(n, 8) - 1) + 5 * math.log2(max(n / 8, 1)))) * 1e-6


def torus(n: int, dims: int) -> float:
    """To the middle of each axis of a torus and back, 1 us a hop (assumed)."""
    return dims * n ** (1 / dims) * 1e-6


def all_reduce(size: float, n: int, machine: Machine) -> float:
    """Seconds of a ring within the group, then of one ring for each of its chips between the groups."""
    inner = min(n, machine.group)
    outer = n // inner
    time = 2 * (inner - 1) / inner * size / machine.near
    if outer > 1:
        time += 2 * (outer - 1) / outer * size / inner / machine.far
    return time + machine.latency(n)


def parts(net: Net, batch: int):
    """(recipe, networks, shapes of the state) of a row of NETWORKS; nothing is computed."""
    c = configs.base()
    for name, value in {**net.changes, "batch_size": batch}.items():
        configs.override(c, name, value)
    recipe = configs.recipe_of(configs.validate(c), (net.side, net.side, 3))
    nets = models.build(recipe.model)
    first = partial(init, recipe, nets, configs.hyper_of(c))
    return recipe, nets, jax.eval_shape(first, 0)


def size(tree: Any) -> int:
    return sum(x.size for x in jax.tree.leaves(tree))


class Traffic(NamedTuple):
    """What an iteration sends, in bytes: (of each message, how often)."""

    gradients: list[tuple[float, int]]
    moments: list[tuple[float, int]]

    def seconds(self, n: int, machine: Machine) -> tuple[float, float]:
        def of(messages):
            return sum(k * all_reduce(b, n, machine) for b, k in messages)

        return of(self.gradients), of(self.moments)


def traffic(recipe: Any, players: Any) -> Traffic:
    """One all-reduce of the gradients an update, two of each BatchNorm a pass: its moments, and their gradients.

    An iteration (alternating, n_gen 1, shared noise, no penalty on a D with BatchNorm) is n_disc passes of G forward
    and one back, and for D 2 n_disc + 1 forward and back: real, fake, and the fake one of G's turn.
    """
    d, gen, disc = recipe.n_disc, players.gen, players.disc
    layers = [jax.tree.leaves(p.vars.get("batch_stats", {})) for p in (gen, disc)]
    passes = d + 1, 4 * d + 2
    moments = [
        (8 * x.size, k) for own, k in zip(layers, passes, strict=True) for x in own[::2]
    ]
    return Traffic([(4 * size(disc.params), d), (4 * size(gen.params), 1)], moments)


def efficiency(
    step: float, gradients: float, moments: float, hidden: float = 0.0
) -> float:
    """Share of a step that is work, where gradients of up to `hidden` of its time are sent beside it."""
    return step / (step + moments + max(0.0, gradients - hidden * step))


def least_batch(image: float, sent: float) -> int:
    """The batch a device from which the efficiency is ENOUGH, nothing hidden; `image`: seconds of one picture."""
    return math.ceil(ENOUGH / (1 - ENOUGH) * sent / image)


def flops(jaxpr: Any) -> int:
    """Twice the multiply-adds of convolutions and products, the larger branch of a condition."""
    total = 0
    for e in jaxpr.eqns:
        name, p, out = e.primitive.name, e.params, e.outvars[0].aval.size
        inner = [getattr(v, "jaxpr", v) for v in p.values()]
        inner = [flops(j) for j in inner if hasattr(j, "eqns")]
        if name == "dot_general":
            shape, axes = e.invars[0].aval.shape, p["dimension_numbers"][0][0]
            total += 2 * out * math.prod(shape[i] for i in axes)
        elif name == "conv_general_dilated":
            shape = e.invars[1].aval.shape
            channels = p["dimension_numbers"].rhs_spec[0]
            total += 2 * out * math.prod(shape) // shape[channels]
        elif name == "cond":
            total += max(flops(b.jaxpr) for b in p["branches"])
        else:
            total += sum(inner) * (p["length"] if name == "scan" else 1)
    return total


def counted(net: Net) -> float:
    """FLOPs of one iteration by its batch."""
    recipe, nets, state = parts(net, net.batch)
    real = (recipe.n_disc, net.batch, net.side, net.side, 3)
    batch = Batch(jax.ShapeDtypeStruct(real, np.uint8))
    return flops(jax.make_jaxpr(make_step(recipe, nets))(state, batch).jaxpr) / (
        net.batch
    )


@cache
def row(name: str) -> tuple[Traffic, list[int]]:
    """What a row of NETWORKS sends, and the parameters of G and D."""
    net = NETWORKS[name]
    recipe, _, state = parts(net, net.batch)
    return traffic(recipe, state.players), [size(p.params) for p in state.players]


def sizes_table() -> list[str]:
    """What each network computes and sends in an iteration."""
    lines = [
        "| network | batch a device | parameters G + D | gradients sent | BatchNorm moments sent | all-reduces: gradients + BatchNorm | GFLOP a picture |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, net in NETWORKS.items():
        sent, parameters = row(name)
        mb, moved = (sum(b * k for b, k in messages) / 1e6 for messages in sent)
        often = [sum(k for _, k in messages) for messages in sent]
        g, d = (n / 1e6 for n in parameters)
        lines.append(
            f"| {name} | {net.batch} | {g:.2f} M + {d:.2f} M | {mb:.1f} MB | {moved:.2f} MB "
            f"| {often[0]} + {often[1]} | {net.flops / 1e9:.2f} |"
        )
    return lines


def cells(net: Net, sent: Traffic, machine: Machine, step: float) -> str:
    """The columns of the computed table that depend on how many accelerators there are."""
    columns: list[list[str]] = [[], [], [], []]
    for n in ACCELERATORS:
        row = ("-",) * 4
        if n <= machine.group or machine.far:
            g, m = sent.seconds(n, machine)
            both = (efficiency(step, g, m, hidden) for hidden in (0.0, OVERLAP))
            floor = str(least_batch(step / net.batch, g + m))
            row = f"{1e3 * (g + m):.2f}", *(f"{e:.2f}" for e in both), floor
        for column, cell in zip(columns, row, strict=True):
            column.append(cell)
    return " | ".join(" / ".join(column) for column in columns)


def computed_table(names: list[str], step_ms: float = 0.0) -> list[str]:
    """Efficiency of each network on each accelerator, by assumed utilisations or, if not 0, a measured step."""
    many = " / ".join(map(str, ACCELERATORS))
    lines = [
        f"| network | accelerator | step, ms | sent, ms: {many} | efficiency | with overlap | least batch for {ENOUGH:.0%} |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in names:
        net, sent = NETWORKS[name], row(name)[0]
        for kind, machine in MACHINES.items():
            work = 1e3 * net.batch * net.flops / machine.peak
            steps = {f"at {share:.0%}": work / share for share in UTILISATIONS}
            for how, ms in ({"measured": step_ms} if step_ms else steps).items():
                told = cells(net, sent, machine, ms / 1e3)
                lines.append(f"| {name} | {kind} {how} | {ms:.2f} | {told} |")
    return lines


MACHINES = {
    # 790 TFLOP/s: what dense bfloat16 products reach. NVLink 4 among 8, 400 Gbit/s InfiniBand for each GPU beyond
    "H200": Machine(790e12, 450e9, 8, 50e9, nccl),
    # the vendor's numbers: peak, half of "bidirectional ICI bandwidth per chip", pod size, torus
    "TPU v5e": Machine(197e12, 200e9, 256, 0.0, partial(torus, dims=2)),
    "TPU v5p": Machine(459e12, 600e9, 8960, 0.0, partial(torus, dims=3)),
}
NETWORKS = {
    "DCGAN-64": Net(64, 128, 2.96e9, {"model.width": 64}),
    # Miyato et al. 2018 (arXiv:1802.05957): five updates of D
    "SNGAN-128": Net(
        128,
        64,
        310.04e9,
        {
            "model.name": "resnet",
            "model.latent_dim": 128,
            "model.disc_norm": "none",
            "model.disc_spectral": True,
            "loss": "hinge",
            "n_disc": 5,
        },
    ),
    # Huang et al. 2024 (arXiv:2501.05441): widths of 256 pixels, R1 and R2
    "R3GAN-256": Net(
        256,
        32,
        2282.12e9,
        {
            "model.name": "r3gan",
            "model.width": 96,
            "model.latent_dim": 64,
            "model.norm": "none",
            "loss": "rp",
            "penalty.r1": 1.0,
            "penalty.r2": 1.0,
        },
    ),
}
