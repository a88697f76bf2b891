"""The kinds of the benchmark: recipes that should fail or not, some for calibration, some held out.

A kind's name says what was done to the recipe, never what a run is called: that is decided from its samples, by the rules of
label.py. Points are the ring of 8 and the grid of 25 Gaussians under an MLP; pictures are 28 px, a DCGAN of width 8.
No recipe keeps an average, so what is measured is what is trained. Sources of the recipes' faults: the project's own
failing configs (`configs/ring_plain.py`), the CMU recitation (one G update in 10 or 11 of D), shekkizh's DCGAN (initial
std 0.2, feature matching alone), Goodfellow et al. 2014 (arXiv:1406.2661; the saturating loss), Arjovsky et al. 2017
(arXiv:1701.07875; a critic without constraint), Karras et al. 2020 (arXiv:2006.06676; small data).
"""

from typing import Any, NamedTuple

from gan_jax.config import base, override, validate

Changes = dict[str, Any]


class Kind(NamedTuple):
    """family: what its truth is measured by. half: "calibration" or "held_out". changes: every field that is not default."""

    family: str
    half: str
    changes: Changes


def both(**numbers: Any) -> Changes:
    """Fields of both optimizers."""
    return {
        f"optim.{player}.{name}": value
        for player in ("gen", "disc")
        for name, value in numbers.items()
    }


def falling(steps: int) -> Changes:
    """Learning rates that fall to 0.01 of themselves in the second half."""
    entries = (
        f"optim.{player}.lr=linear:{steps // 2}:{steps}:1:0.01"
        for player in ("gen", "disc")
    )
    return {"schedule": ";".join(entries)}


POINTS: Changes = {
    "steps": 3000,
    "batch_size": 128,
    "ema_decay": 0.0,
    "model.name": "mlp",
    "model.depth": 3,
    "model.width": 64,
    "model.latent_dim": 2,
    "model.norm": "none",
    "model.init": "xavier_uniform",
    "log_every": 50,
    "sample_every": 250,
    "checkpoint_every": 0,
    **both(lr=1e-3),
}
PENALISED = {"penalty.r1": 0.1, "penalty.r2": 0.1, "penalty.every": 4}
RING = POINTS | {"data.source": "ring"}
GRID = POINTS | {"data.source": "grid"}
LONG = 25_000  # steps until the grid's modes are sharp, as in configs/grid.py
GRID_PENALISED = {
    **PENALISED,
    "penalty.r1": 0.5,
    "penalty.r2": 0.5,
    "steps": LONG,
    "model.width": 128,
    "sample_every": 1250,
    **falling(LONG),
}

PICTURES: Changes = {
    "steps": 1200,
    "batch_size": 32,
    "ema_decay": 0.0,
    "model.width": 8,
    "model.disc_norm": "none",
    "log_every": 25,
    "sample_every": 150,
    "checkpoint_every": 0,
    # what a run can know of copies; truth measures its own
    "eval.every": 600,
    "eval.metrics": "memorisation",
    "eval.n": 500,
    **both(lr=1e-3),
}
CLOTHES = PICTURES | {"data.source": "experiments.failures.sets:clothes"}
DIGITS = PICTURES | {"data.source": "experiments.failures.sets:digits"}
R1 = {"penalty.r1": 0.5}
# of 64 pictures: until D knows them by heart
LONGER = {"steps": 4800, "sample_every": 600, "log_every": 100, "eval.every": 1200}


def points(half: str, *changes: Changes) -> Kind:
    """A kind of points; later changes win."""
    return Kind("points", half, {k: v for c in changes for k, v in c.items()})


def pictures(half: str, *changes: Changes) -> Kind:
    """A kind of pictures; later changes win."""
    return Kind("pictures", half, {k: v for c in changes for k, v in c.items()})


C, H = "calibration", "held_out"
KINDS: dict[str, Kind] = {
    # meant to be healthy
    "ring_relativistic": points(C, RING, {"loss": "rp"}, PENALISED, falling(3000)),
    "grid_hinge_r1_r2": points(C, GRID, {"loss": "hinge"}, GRID_PENALISED),
    "clothes_r1": pictures(C, CLOTHES, R1),
    "digits_wgan_gp": pictures(
        C, DIGITS, {"loss": "wasserstein", "penalty.gp": 10.0, "n_disc": 2}
    ),
    "ring_hinge_r1_r2": points(C, RING, {"loss": "hinge"}, PENALISED, falling(3000)),
    "grid_relativistic": points(C, GRID, {"loss": "rp"}, GRID_PENALISED),
    "clothes_hinge_spectral": pictures(
        C, CLOTHES, {"loss": "hinge", "model.disc_spectral": True}
    ),
    "digits_relativistic": pictures(
        C, DIGITS, {"loss": "rp", "penalty.r1": 0.5, "penalty.r2": 0.5}
    ),
    # D too strong for G's loss
    "ring_saturating_ten_disc": points(C, RING, {"loss": "saturating", "n_disc": 10}),
    "clothes_saturating_wide_disc": pictures(
        C,
        CLOTHES,
        {"loss": "saturating", "model.disc_width": 32, "n_disc": 2},
    ),
    # D wins
    "clothes_wide_disc_slow_gen": pictures(
        C,
        CLOTHES,
        {"model.disc_width": 32, "optim.gen.lr": 1e-5},
    ),
    "clothes_feature_matching_alone": pictures(
        C, CLOTHES, {"trick.adversarial": 0.0, "trick.feature_matching": 1.0}
    ),
    # G wins
    "grid_slow_disc": points(C, GRID, {"optim.disc.lr": 1e-6}),
    "digits_slow_narrow_disc": pictures(
        C, DIGITS, {"optim.disc.lr": 1e-6, "model.disc_width": 2, "n_gen": 2}
    ),
    # G hops and circles
    "ring_adam_momentum": points(C, RING, both(b1=0.9)),
    "grid_adam_momentum": points(C, GRID, both(b1=0.9)),
    "digits_wide_init": pictures(
        C, DIGITS, {"model.init_std": 0.2, "model.norm": "none"}
    ),
    "ring_sgd": points(C, RING, both(name="sgd", lr=0.2)),
    # dead
    "ring_zero_init": points(C, RING, {"model.init": "normal", "model.init_std": 0.0}),
    "clothes_lr_spike": pictures(
        C,
        CLOTHES,
        {"model.norm": "none", "schedule": "optim.gen.lr=step:0:20:1000:1"},
    ),
    # without bound
    "ring_wgan_unpenalised": points(
        C, RING, {"loss": "wasserstein"}, both(name="sgd", lr=0.05, momentum=0.9)
    ),
    "digits_wgan_unpenalised": pictures(
        C, DIGITS, {"loss": "wasserstein"}, both(lr=4e-3)
    ),
    # too few pictures
    "clothes_few": pictures(
        C, CLOTHES, LONGER, {"data.source": "experiments.failures.sets:few_clothes"}
    ),
    "digits_few": pictures(
        C, DIGITS, LONGER, {"data.source": "experiments.failures.sets:few_digits"}
    ),
    # held out: meant to be healthy
    "ring_relativistic_average": points(
        H, RING, {"loss": "ra"}, PENALISED, falling(3000)
    ),
    "ring_least_squares": points(
        H, RING, {"loss": "least_squares"}, PENALISED, falling(3000)
    ),
    "grid_relativistic_average": points(H, GRID, {"loss": "ra"}, GRID_PENALISED),
    "digits_hinge_spectral": pictures(
        H, DIGITS, {"loss": "hinge", "model.disc_spectral": True}
    ),
    "digits_smoothed_dropout": pictures(
        H, DIGITS, {"trick.label_smooth": 0.1, "model.dropout": 0.25}
    ),
    "digits_r1_two_gen": pictures(H, DIGITS, R1, {"n_gen": 2}),
    "digits_batch_norm": pictures(H, DIGITS, {"model.disc_norm": "batch"}),
    "clothes_wgan_gp": pictures(
        H, CLOTHES, {"loss": "wasserstein", "penalty.gp": 10.0, "n_disc": 2}
    ),
    "clothes_instance_noise": pictures(H, CLOTHES, {"trick.instance_noise": 0.1}),
    # D too strong for G's loss, or for G
    "digits_saturating_fast_disc": pictures(
        H, DIGITS, {"loss": "saturating", "n_disc": 4, "optim.disc.lr": 4e-3}
    ),
    "ring_slow_gen": points(H, RING, {"optim.gen.lr": 1e-6}),
    # G wins
    "clothes_slow_disc": pictures(H, CLOTHES, {"optim.disc.lr": 1e-6}),
    # G hops and circles
    "ring_hinge_momentum": points(H, RING, {"loss": "hinge"}, both(b1=0.9)),
    "grid_sgd": points(H, GRID, both(name="sgd", lr=0.2)),
    "digits_no_norm_momentum": pictures(
        H, DIGITS, {"model.norm": "none"}, both(b1=0.9, lr=4e-3)
    ),
    # dead
    "digits_zero_init": pictures(H, DIGITS, {"model.init_std": 0.0}),
    "ring_lr_spike": points(H, RING, {"schedule": "optim.gen.lr=step:0:20:1000:1"}),
    # without bound
    "clothes_wgan_unpenalised_sgd": pictures(
        H, CLOTHES, {"loss": "wasserstein"}, both(name="sgd", lr=0.05, momentum=0.9)
    ),
    # too few pictures
    "clothes_few_hinge": pictures(
        H,
        CLOTHES,
        LONGER,
        {"loss": "hinge", "data.source": "experiments.failures.sets:few_clothes"},
    ),
}
HALVES = (C, H)


def get_config(name: str = "ring_relativistic") -> Any:
    """The config of a kind: python launch.py --config=experiments/failures/kinds.py:ring_adam_momentum."""
    config = base()
    for field, value in KINDS[name].changes.items():
        override(config, field, value)
    return validate(config)
