"""The whole suite: tables of ratios on standard output, all numbers in a JSON file.

    python -m benchmarks.run --suite=cpu [--only=step,data] [--rounds=5] [--quick] [--json=FILE]

Each group runs in a process of its own; within it the ways of a case take turns (timing.py). PyTorch is compared with
where it is installed. On one core: `taskset -c 0` before the line. --quick makes everything tiny, to try the commands.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from benchmarks.cases import CASES
from benchmarks.suites import GROUPS
from benchmarks.timing import TORCH, Plan, read, say, write
from benchmarks.ways import PRECISIONS
from gan_jax.heap import with_huge_pages

PEAK = {
    "cpu": 0.0,
    "gpu": 790.0,
}  # TFLOP/s: what a dense bfloat16 product reaches on an H200
NO_DEVICE = 2
STOPPED = 130


def parser() -> argparse.ArgumentParser:
    """The command line."""
    helps = "\n".join(f"  {name:11}{run.__doc__}" for name, run in GROUPS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.run",
        description=f"{__doc__}\ngroups:\n{helps}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--suite", choices=PEAK, required=True)
    parser.add_argument("--only", default=",".join(GROUPS), help="groups, with commas")
    parser.add_argument(
        "--cases",
        default="",
        help=f"of step and memory, with commas: {', '.join(CASES)}",
    )
    parser.add_argument(
        "--precisions", default="", help=f"likewise: {', '.join(PRECISIONS)}"
    )
    parser.add_argument(
        "--malloc",
        choices=("keep", "system"),
        default="keep",
        help="keep: freed memory stays with the process and pages are huge, as launch.py has it, for every way (default)",
    )
    parser.add_argument("--rounds", type=int, default=0, help="0: 5, or 2 if quick")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument(
        "--peak", type=float, default=-1, help="TFLOP/s, for the MFU; 0: none"
    )
    parser.add_argument("--json", help="where the results go")
    return parser


def environment(suite: str, keep: bool) -> dict[str, str]:
    """Of a group's process: no GPU for the CPU's suite; on a GPU neither library takes memory ahead of need.

    keep: huge pages, as launch.py begins with (gan_jax/heap.py).
    """
    hidden = {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    shared = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    env = {**os.environ, **(hidden if suite == "cpu" else shared)}
    return with_huge_pages(env) if keep else env


def listed(
    words: argparse.ArgumentParser, text: str, what: str, table: Iterable[str]
) -> tuple[str, ...]:
    """The names in a list with commas; ends with code 2 where one is not in the table."""
    names = tuple(filter(None, text.split(",")))
    if unknown := set(names) - set(table):
        words.error(
            f"unknown: {', '.join(sorted(unknown))}; {what}: {', '.join(table)}"
        )
    return names


def finished(command: list[str], env: dict[str, str]) -> int:
    """A command's exit code; STOPPED after Ctrl-C or SIGTERM, which end it with all that it has started."""
    with subprocess.Popen(command, env=env, process_group=0) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            os.killpg(process.pid, signal.SIGKILL)
            return STOPPED


def main() -> int:
    """Run the groups; 0, 1 when something in a group failed or was stopped, 2 for wrong words or a device that is not there."""
    words = parser()
    args = words.parse_args()
    groups = listed(words, args.only, "groups", GROUPS)
    wanted = listed(words, args.cases, "cases", CASES)
    precisions = listed(words, args.precisions, "precisions", PRECISIONS)
    if args.suite == "cpu" and "tf32" in precisions:
        words.error("tf32 is a GPU's: with --suite=cpu float32 or bfloat16")
    if not TORCH:
        say("PyTorch is missing, and its rows are left out: pip install torch")
    peak = PEAK[args.suite] if args.peak < 0 else args.peak
    rounds = args.rounds or (2 if args.quick else 5)
    keep = args.malloc == "keep"
    plan = Plan(args.suite, rounds, args.quick, peak, wanted, precisions, keep)
    rows, about, failed = [], {}, []
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as folder:
        for group in groups:
            path = Path(folder, group)
            command = [
                sys.executable,
                "-m",
                "benchmarks.suites",
                group,
                json.dumps(asdict(plan)),
                str(path),
            ]
            code = finished(command, environment(args.suite, keep))
            if code == NO_DEVICE:
                return NO_DEVICE
            failed += [group] * (code != 0)
            if path.is_file():
                more, about = read(path)
                rows += more
            if args.json and rows:  # a stop keeps what is there
                write(args.json, rows, about)
            if code == STOPPED:
                break
    if failed:
        say(f"not all of it ran: {', '.join(failed)}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
