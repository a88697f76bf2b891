"""Fields of the evaluation during training."""

from typing import Any

from gan_jax.eval.features import FEATURES
from gan_jax.eval.measures import METRICS, direction, parse
from gan_jax.fields.rules import Field, anything, choice, from_zero


def metrics(name: str, value: Any) -> None:
    """Rule: "auto", or names of metrics with commas between."""
    del name
    for word in value.split(",") if value != "auto" else []:
        parse(word.strip(), "")


def value_name(name: str, value: Any) -> None:
    """Rule: the full name of a value that some metric gives, or nothing."""
    del name
    if value:
        direction(value)


metrics.choices = ("auto", "fid", *METRICS)
EVAL = {
    "eval.every": Field(
        0, "run", from_zero, "iterations between evaluations of the average; 0: none"
    ),
    "eval.metrics": Field(
        "auto", "run", metrics, "with commas; fid, or with features: kid_classifier"
    ),
    "eval.features": Field(
        "auto",
        "run",
        choice("auto", *FEATURES),
        "of metrics that name none; auto: the first that needs no download",
    ),
    "eval.n": Field(
        0,
        "run",
        from_zero,
        "samples; 0: 10,000 pictures, 2,500 points, 26,000 stacked digits",
    ),
    "eval.split": Field(
        "",
        "run",
        anything,
        "of the data that is compared with; empty: as data.split, or test for image to image",
    ),
    "eval.inception_weights": Field(
        "",
        "run",
        anything,
        "file of the canonical Inception; empty: $GAN_JAX_INCEPTION, the cache, a download",
    ),
    "eval.best": Field(
        "", "run", value_name, "value whose best checkpoint is kept; empty: the first"
    ),
    "eval.patience": Field(
        0,
        "run",
        from_zero,
        "the run stops after this many evaluations without a new best; 0: never",
    ),
}
