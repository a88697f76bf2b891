"""Every config field in one table: default, kind, rule, help. Validation, --help and the recipe follow from it.

Kinds:
    structure  changes the compiled program, and so what a sweep can join
    seed       its own row in a sweep, but no number of the mathematics
    number     a float32 leaf of `state.hyper`; a sweep over it is one program
    switch     0 means absent (structure); any other value is a number
    data       which examples are trained on
    run        cadences and placement: may change when a run is resumed
"""

from gan_jax.fields.evaluation import EVAL
from gan_jax.fields.game import AUGMENT, GAME, LOSS, PENALTY, TRICK, optimizer
from gan_jax.fields.networks import DATA, MODEL
from gan_jax.fields.rules import (
    Field,
    anything,
    choice,
    decay,
    from_zero,
    one_of,
    whole,
)
from gan_jax.fields.schedule import schedule_rule
from gan_jax.parallel import PARALLEL

__all__ = ["FIELDS", "Field"]

FIELDS: dict[str, Field] = {
    "seed": Field(0, "seed", from_zero, "of initial weights, data order and noise"),
    "steps": Field(
        20_000, "run", whole, "iterations: n_disc D updates then n_gen G updates"
    ),
    "batch_size": Field(
        64, "structure", whole, "pictures of one update, all devices together"
    ),
    "n_disc": Field(
        1, "structure", whole, "D updates an iteration, each on a fresh batch"
    ),
    "n_gen": Field(1, "structure", whole, "G updates an iteration"),
    **LOSS,
    **GAME,
    "ema_decay": Field(
        0.999, "number", decay, "of G's averaged weights; 0: the latest weights"
    ),
    **MODEL,
    **DATA,
    **optimizer("gen"),
    **optimizer("disc"),
    **PENALTY,
    **TRICK,
    **AUGMENT,
    "schedule": Field(
        "",
        "structure",
        schedule_rule,
        "FIELD=KIND:BEGIN:END:FIRST:LAST;... multiplies a number by FIRST until step BEGIN, "
        "by LAST from END on; KIND linear, cosine, exponential, step",
    ),
    "log_every": Field(100, "run", whole, "iterations between rows of metrics.jsonl"),
    "sample_every": Field(
        1000, "run", from_zero, "iterations between sample grids; 0: none"
    ),
    "checkpoint_every": Field(
        1000, "run", from_zero, "iterations between checkpoints; 0: at the end"
    ),
    "monitor": Field(
        True,
        "run",
        anything,
        "rows also say how each layer, the batch's diversity and the game itself are",
    ),
    **EVAL,
    "scan_steps": Field(50, "run", whole, "most iterations in one dispatch"),
    "parallel": Field(
        "jit", "run", one_of(PARALLEL), "how several devices share a batch"
    ),
    "deterministic": Field(
        False, "run", anything, "same bytes in every run on a GPU too, slower there"
    ),
    "precision": Field(
        "float32",
        "structure",
        choice("float32", "bfloat16"),
        "of the networks' arithmetic",
    ),
}
