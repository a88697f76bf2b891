"""Data parallelism: measured where the devices share a CPU, computed for accelerators that are not here.

    python -m benchmarks.scaling [--what=dcgan,ring] [--rounds=5] [--platform=cpu]
    python -m benchmarks.scaling --model [--network=DCGAN-64 --step-ms=0.9]
    python -m benchmarks.scaling --count

The first trains DCGAN-28 and the MLP of configs/ring.py over 1, 2, 4 devices (jit and pmap) and over 2 processes of
one device, equal batches a device, each beside one device that does the same total work. Every way is a process of its
own that compiles once; then all take their turns in each round. On a CPU the devices share its cores, all of which one
device uses in large operations already: what is seen is the overhead of sharding, not what accelerators gain. Prints
milliseconds a step and the ratio to one device (median, range over rounds), the FLOPs of all devices over those of the
one (1 if all work is divided), what the compiled step sends between devices, and after 5 steps the largest difference
of a parameter and, of all arrays, of its way from the first step. More than 5 % of that (jit) ends it with code 1. A
rounded sum turns a ReLU of a wide network on or off here and there, which a few parameters show; a wrong sum is seen in
whole arrays. `--platform=cuda`: the same on the GPUs that are there.

The second computes the efficiency on many accelerators from the table NETWORKS and published bandwidths: it measures
nothing. `--step-ms` puts a measured step time of one device in the place of an assumed one. The third counts the FLOPs
of NETWORKS again from the jaxpr of each step (a minute): twice the multiply-adds of convolutions and products, those
with zeros that our forms of them have included.
"""

import argparse
import json
import math
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from functools import partial
from typing import Any

import jax
import numpy as np

from benchmarks.scaling_model import (
    NETWORKS,
    computed_table,
    counted,
    sizes_table,
)
from gan_jax import config as configs
from gan_jax import hosts, models
from gan_jax.parallel import PARALLEL, near
from gan_jax.step import init
from gan_jax.types import Batch, TrainState

CHECKED = 5  # steps
MOST = 0.05  # of its way that an array may be off: 0.012 at most by rounding, 0.27 and more by other noise
EXAMPLES = 512


def collectives(text: str) -> tuple[int, int, int]:
    """(all-reduces, other collectives, bytes that all of them make) in the loop of a compiled chunk."""
    pattern = r"= (.*?) (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(?:-start)?\("
    found = re.findall(pattern, text.split("\nENTRY ")[0])
    sent = 0
    for shape, _ in found:
        for kind, dims in re.findall(r"(pred|[a-z]+\d+)\[([\d,]*)\]", shape):
            bits = int(re.sub(r"\D", "", kind) or 8)
            sent += math.prod(map(int, dims.split(",") if dims else ())) * bits // 8
    reduces = sum(op == "all-reduce" for _, op in found)
    return reduces, len(found) - reduces, sent


def child(told: dict[str, Any]) -> None:
    """Train as told; then, for each line of standard input, say the seconds of a step."""
    hosts.join(False)
    if jax.default_backend() != "cpu":
        jax.config.update("jax_default_matmul_precision", "highest")
    shape, steps = (28, 28, 1), told["steps"]
    c = configs.base()
    c.model.width = told["width"]
    if told["what"] == "ring":
        c, shape = configs.loaded("configs/ring.py", []), (2,)
    c.batch_size = told["batch"]
    recipe = configs.recipe_of(c, shape)
    nets, rng = models.build(recipe.model), np.random.default_rng(0)
    table = rng.integers(0, 256, (EXAMPLES, *shape)).astype(np.uint8)
    table = Batch(table / np.float32(128) - 1 if told["what"] == "ring" else table)
    runner = PARALLEL[told["mode"]](recipe, nets, table, hosts.count() == 1)
    rows = rng.integers(0, EXAMPLES, (steps, c.n_disc, c.batch_size)).astype(np.int32)
    feed = runner.feed(rows, steps)
    start = jax.jit(partial(init, recipe, nets, configs.hyper_of(c)))
    state = runner.place(start(c.seed))
    begun = parameters(state)
    run = runner.chunk.lower(state, feed, np.int32(1)).compile()
    state, _ = run(state, feed, np.int32(CHECKED))
    np.savez(told["out"], *begun, *parameters(state))
    found = collectives(run.as_text())
    work = run.cost_analysis()["flops"]
    print(json.dumps([work, found, sum(x.nbytes for x in begun)]), flush=True)
    for _ in sys.stdin:
        begin = time.perf_counter()
        state, _ = run(state, feed, np.int32(steps))
        jax.block_until_ready(state)
        print((time.perf_counter() - begin) / steps, flush=True)
    hosts.leave(0)


def parameters(state: TrainState) -> list[np.ndarray]:
    """Copies of both players' arrays."""
    return [np.array(x) for p in near(state).players for x in jax.tree.leaves(p.params)]


class Way:
    """Processes that train together, each on its own devices."""

    def __init__(self, args: argparse.Namespace, told: dict[str, Any], out: str):
        self.label, self.batch = told["label"], told["batch"]
        self.devices = told["devices"] * told["processes"]
        self.out, self.processes = out, []
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = f"127.0.0.1:{server.getsockname()[1]}"
        for rank in range(told["processes"]):
            env = {**os.environ, "JAX_PLATFORMS": args.platform}
            if told["processes"] > 1:
                env |= {hosts.ADDRESS: address, hosts.COUNT: str(told["processes"])}
                env[hosts.RANK] = str(rank)
            if args.platform == "cpu":
                flag = f"--xla_force_host_platform_device_count={told['devices']}"
                env["XLA_FLAGS"] = flag
            else:
                own = range(rank * told["devices"], (rank + 1) * told["devices"])
                env["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, own))
                env["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # ways share them
            told["out"] = out if rank == 0 else f"{out}.{rank}.npz"
            words = [sys.executable, "-m", "benchmarks.scaling", "--child"]
            pipe = subprocess.PIPE
            self.processes.append(
                subprocess.Popen(
                    [*words, json.dumps(told)],
                    env=env,
                    stdin=pipe,
                    stdout=pipe,
                    text=True,
                )
            )
        self.work, self.found, self.gradients = self.answers()[0]

    def answers(self) -> list[Any]:
        lines = [process.stdout.readline() for process in self.processes]
        if not all(lines):
            sys.exit(f"{self.label}: a process ended")
        return [json.loads(line) for line in lines]

    def turn(self) -> float:
        """Milliseconds a step, of the slowest process."""
        for process in self.processes:
            process.stdin.write("\n")
            process.stdin.flush()
        return 1e3 * max(self.answers())

    def params(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """The arrays before the first step and after the checked ones."""
        with np.load(self.out) as file:
            arrays = [file[name] for name in file.files]
        half = len(arrays) // 2
        return arrays[:half], arrays[half:]

    def end(self) -> None:
        for process in self.processes:
            process.stdin.close()
        for process in self.processes:
            process.wait(60)


def ways(what: str, args: argparse.Namespace, folder: str) -> list[Way]:
    """One device with each global batch, then everything beside it."""
    many = [int(n) for n in args.devices.split(",")]
    each = getattr(args, f"{what}_batch")
    wanted = [("jit", 1, 1, n) for n in many]
    wanted += [(mode, n, 1, n) for n in many if n > 1 for mode in PARALLEL]
    wanted += [("jit", 1, 2, 2)] if args.processes else []
    found = []
    for i, (mode, devices, processes, share) in enumerate(wanted):
        where = f"{processes} processes of " if processes > 1 else ""
        told = {"what": what, "mode": mode, "devices": devices, "processes": processes}
        told |= {"batch": each * share, "label": f"{mode}, {where}{devices} device(s)"}
        told |= {"width": args.width, "steps": getattr(args, f"{what}_steps")}
        found.append(Way(args, told, f"{folder}/{what}_{i}.npz"))
    return found


def apart(way: Way, base: Way) -> tuple[float, float]:
    """The largest difference of a parameter, and the largest share of its way that an array is off by."""
    (begun, ours), (_, theirs) = way.params(), base.params()
    off = [x - y for x, y in zip(ours, theirs, strict=True)]
    went = [y - z for y, z in zip(theirs, begun, strict=True)]
    norm = np.linalg.norm
    shares = [norm(x) / max(norm(y), 1e-30) for x, y in zip(off, went, strict=True)]
    return max(float(np.abs(x).max()) for x in off), float(max(shares))


def spread(values: Any) -> str:
    return f"{np.median(values):.2f} ({np.min(values):.2f} - {np.max(values):.2f})"


def measured(what: str, args: argparse.Namespace) -> tuple[list[str], list[str], bool]:
    """Rows of both tables, and whether jit agreed with one device."""
    with tempfile.TemporaryDirectory() as folder:
        found = ways(what, args, folder)
        bases = {way.batch: way for way in found if way.devices == 1}
        for way in found:
            way.turn()
        times = [[way.turn() for way in found] for _ in range(args.rounds)]
        took = dict(zip(found, np.array(times).T, strict=True))
        rows, sent, good = [], [], True
        for way in found:
            base = bases[way.batch]
            work, ratio = way.work * way.devices / base.work, took[way] / took[base]
            differ, share = apart(way, base)
            same = way.label.startswith("jit")
            good &= share <= MOST or not same
            rows.append(
                f"| {what} | {way.label} | {way.batch} | {spread(took[way])} | {spread(ratio)} | {work:.2f} "
                f"| {f'{differ:.0e}' if same else 'own noise'} ({100 * share:.2g} %) |"
            )
            if way.devices > 1:
                reduces, others, size = way.found
                sent.append(
                    f"| {what} | {way.label} | {reduces} | {others} | {size:,} | {way.gradients:,} "
                    f"| {size / way.gradients:.2f} |"
                )
        for way in found:
            way.end()
    return rows, sent, good


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--what", default="dcgan,ring")
    parser.add_argument("--devices", default="1,2,4")
    parser.add_argument("--processes", type=int, default=1, help="0: not over two")
    parser.add_argument("--platform", default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--width", type=int, default=64, help="of DCGAN-28")
    parser.add_argument("--dcgan-batch", type=int, default=32, help="a device")
    parser.add_argument("--ring-batch", type=int, default=128, help="a device")
    parser.add_argument("--dcgan-steps", type=int, default=5, help="a turn, from 5")
    parser.add_argument("--ring-steps", type=int, default=500, help="a turn, from 5")
    parser.add_argument("--model", action="store_true")
    parser.add_argument("--count", action="store_true")
    parser.add_argument("--network", default=",".join(NETWORKS), help="of --model")
    parser.add_argument("--step-ms", type=float, default=0.0, help="measured")
    parser.add_argument("--child", type=json.loads)
    args = parser.parse_args()
    if args.child:
        return child(args.child)
    if args.count:
        for name, net in NETWORKS.items():
            print(f"{name}: {counted(net) / 1e9:.2f} GFLOP a picture", flush=True)
        return None
    if args.model:
        tables = sizes_table(), computed_table(args.network.split(","), args.step_ms)
        print("\n\n".join("\n".join(table) for table in tables))
        return None
    rows, sent, good = [], [], True
    for what in args.what.split(","):
        more, messages, same = measured(what, args)
        rows, sent, good = rows + more, sent + messages, good and same
    print(HEAD, *rows, "", HEAD_SENT, *sent, sep="\n")
    if not good:
        sys.exit(f"parameters differ by more than {MOST:.0%} of their way")
    return None


HEAD = (
    "| what | way | global batch | ms a step, median (range) | times one device | work | differs (of its way) |\n"
    "|---|---|---|---|---|---|---|"
)
HEAD_SENT = (
    "| what | way | all-reduces a step | others | bytes made | bytes of gradients | ratio |\n"
    "|---|---|---|---|---|---|---|"
)

if __name__ == "__main__":
    main()
