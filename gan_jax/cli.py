"""Verbs and flags. A user's mistake, a full disk, too little memory: one sentence and exit code 2, never a traceback."""

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jax.errors import JaxRuntimeError

from gan_jax import hosts
from gan_jax.checkpoint import CheckpointError
from gan_jax.config import ConfigError
from gan_jax.fields import FIELDS
from gan_jax.files import explain
from gan_jax.lock import FolderInUse
from gan_jax.record import RecordError
from gan_jax.types import UserError, lookup
from gan_jax.verbs import doctor, dynamics, evaluate, report, sample, sweep, train

USAGE, STOPPED, UNREAD = 2, 130, 141  # the last two as a shell says SIGINT and SIGPIPE
MISTAKES = (UserError, FolderInUse, CheckpointError, RecordError)
EXHAUSTED = "RESOURCE_EXHAUSTED"  # how XLA says that memory is full
LESS = {
    "sample": "--n",
    "eval": "--n",
    "dynamics": "--batch",
    "report": "the number of --workdir",
}


class Verb(NamedTuple):
    """A row of VERBS: what adds its flags, what runs it, its line of help, whether several processes can share it."""

    flags: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, list[tuple[str, str]], str], int]
    help: str
    shared: bool = False


def split_overrides(words: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Separate `--config.name=value` (or `--config.name value`) from the other words."""
    rest, overrides = [], []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if not word.startswith("--config."):
            rest.append(word)
            continue
        name, equals, value = word.removeprefix("--config.").partition("=")
        if not equals:
            if not queue or queue[0].startswith("--"):
                raise ConfigError(f"{word} needs a value: {word}=VALUE")
            value = queue.pop(0)
        overrides.append((name, value))
    return rest, overrides


VERBS: dict[str, Verb] = {
    "train": Verb(
        train.flags, train.run, "train a config, or resume its run (default)", True
    ),
    "sample": Verb(sample.flags, sample.run, "pictures of a trained run"),
    "eval": Verb(
        evaluate.flags, evaluate.run, "measure a run, or two folders of pictures"
    ),
    "dynamics": Verb(
        dynamics.flags,
        dynamics.run,
        "eigenvalues of a trained game: rotation, attraction",
    ),
    "sweep": Verb(sweep.flags, sweep.run, "many settings of a config in one program"),
    "report": Verb(report.flags, report.run, "a run, runs or a sweep as one page"),
    "doctor": Verb(doctor.flags, doctor.run, "what is wrong with a run or a sweep"),
}


def field_help() -> str:
    """Every config field with its default, its choices and its meaning."""
    lines = ["config fields (--config.NAME=VALUE):"]
    for name, field in FIELDS.items():
        choices = getattr(field.rule, "choices", None)
        text = f"{field.help} [{', '.join(choices)}]" if choices else field.help
        lines.append(f"  {name} = {field.default!r}: {text}")
    return "\n".join(lines)


def make_parser(name: str) -> argparse.ArgumentParser:
    """The parser of one verb."""
    verbs = "\n".join(f"  {verb:8} {row.help}" for verb, row in VERBS.items())
    parser = argparse.ArgumentParser(
        prog=f"python launch.py {name}",
        description=f"{VERBS[name].help}\n\nverbs (python launch.py VERB --help):\n{verbs}",
        epilog=field_help() if name == "train" else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    VERBS[name].flags(parser)
    return parser


def main(words: Sequence[str]) -> int:
    """Run a command line and return its exit code."""
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = unheard
    try:
        try:
            code = answered(words)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output has gone: `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left must not complain
        code = UNREAD
    except KeyboardInterrupt:
        code = STOPPED
    return hosts.leave(code)


def unheard(what: Any) -> None:
    """Drop what TensorStore's threads say behind a save that failed: Orbax has closed the loop that they call."""
    if str(what.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(what)


def answered(words: Sequence[str]) -> int:
    """Do what a command line says; what the user can mend is a sentence on stderr."""
    command = shlex.join(["python", "launch.py", *words])
    verb, rest = "train", list(words)
    if rest and not rest[0].startswith("-"):
        verb = rest.pop(0)
    try:
        row = lookup("verb", VERBS, verb)
        if not row.shared:
            hosts.alone(verb)
        rest, overrides = split_overrides(rest)
        args = make_parser(verb).parse_args(rest)
        return row.run(args, overrides, command)
    except MISTAKES as error:
        said = str(error)
    except BrokenPipeError:
        raise
    except OSError as error:
        said = explain(error)
    except (MemoryError, JaxRuntimeError) as error:
        if isinstance(error, JaxRuntimeError) and EXHAUSTED not in str(error):
            raise
        less = LESS.get(verb, "--config.batch_size or --config.model.width")
        brief = str(error).strip().partition("\n")[0][:200] or "MemoryError"
        said = f"out of memory: lower {less} ({brief})"
    print(f"error: {said}", file=sys.stderr)
    return USAGE
