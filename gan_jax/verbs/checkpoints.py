"""How a checkpoint is named on the command line."""

import argparse


def step_of(text: str) -> int | str | None:
    """A checkpoint as `sampling.load` takes it: a step, "best", None for "latest"."""
    named = {"latest": None, "best": "best"}
    if text in named or text.isdigit():
        return named[text] if text in named else int(text)
    raise argparse.ArgumentTypeError(f"{text!r}: give a step, latest or best")


def steps_of(text: str) -> int | str | None:
    """The same, or "all"."""
    return text if text == "all" else step_of(text)
