"""The xy game, Dirac-GAN and the Gaussian game under rules of play, penalties and losses: radii, distances, pictures.

    python -m experiments.dynamics.run

Writes results.csv beside this file and docs/images/dynamics_xy.svg, dynamics_dirac.svg; prints
the tables of README.md.
"""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.dynamics.pictures import draw
from experiments.dynamics.play import Toy, batches, both, placed, ready, walked
from gan_jax.data.toy import GAUSSIAN_FACTOR, GAUSSIAN_MEAN
from gan_jax.dynamics import step_eigenvalues

FOLDER = Path(__file__).parent
IMAGES = FOLDER.parents[1] / "docs/images"
COLUMNS = ("game", "variant", "rule", "lr", "quantity", "measured", "closed_form")
RATES = (0.1, 0.2, 0.5)
SHORT, LONG = 500, 2000  # steps after which distances are taken
NEAR = 0.05  # converged: nearer than this, from a start at sqrt(2)
SIMULTANEOUS, ALTERNATING = {"game": "simultaneous"}, {"game": "alternating"}
TURNS = {"simultaneous": SIMULTANEOUS, "alternating": ALTERNATING}

# rule -> (changes, the spectral radius of a step by closed form or by the recursion's own matrix)
XY: dict[str, tuple[dict[str, Any], Callable[[float], float]]] = {
    "simultaneous": (SIMULTANEOUS, lambda lr: np.sqrt(1 + lr**2)),
    "alternating": (ALTERNATING, lambda lr: 1.0),
    "extra-gradient": (
        {"game": "extra_gradient"},
        lambda lr: np.sqrt(1 - lr**2 + lr**4),
    ),
    "optimistic": (
        SIMULTANEOUS | both(name="optimistic_gd"),
        lambda lr: radius_of([[1 - 2j * lr, 1j * lr], [1, 0]]),
    ),
    "consensus, gamma 1": (
        {"game": "consensus", "game_args.consensus": 1.0},
        lambda lr: np.hypot(1 - lr, lr),
    ),
    "negative momentum -0.5, alternating": (
        ALTERNATING | both(momentum=-0.5),
        lambda lr: radius_of(heavy_ball(lr, -0.5)),
    ),
    "unrolled, 5 steps": (
        {"game": "unrolled", "game_args.unroll": 5},
        lambda lr: radius_of([[1 - lr**2 - 10 * lr**2, -lr], [lr, 1]]),
    ),
}
NOISE = {"trick.instance_noise": 0.7, "batch_size": 1000}  # the authors' noise
DIRAC: dict[str, dict[str, Any]] = {
    "GAN (saturating)": {},
    "NSGAN": {"loss": "non_saturating"},
    "WGAN, no clipping": {"loss": "wasserstein"},
    "WGAN, clip 0.3": {"loss": "wasserstein", "trick.weight_clip": 0.3},
    "WGAN-GP, weight 0.35": {"loss": "wasserstein", "penalty.gp": 0.35},
    "instance noise 0.7": NOISE,
    "R1, gamma 0.3": {"penalty.r1": 0.3},
    "R2, gamma 0.3": {"penalty.r2": 0.3},
    "NSGAN, R1, gamma 0.3": {"loss": "non_saturating", "penalty.r1": 0.3},
    "R1, gamma 1 (critical)": {"penalty.r1": 1.0},
    "consensus, gamma 1": {"game": "consensus"},
}
# variant -> eigenvalue of J at (0, 0), the one that decides; consensus: of v + gamma J^T v. Mescheder et al. 2018
AT_ZERO: dict[str, complex] = {
    "GAN (saturating)": 0.5j,
    "NSGAN": 0.5j,
    "WGAN, no clipping": 1j,
    "R1, gamma 0.3": 0.15 + 1j * np.sqrt(0.25 - 0.15**2),
    "R2, gamma 0.3": 0.15 + 1j * np.sqrt(0.25 - 0.15**2),
    "NSGAN, R1, gamma 0.3": 0.15 + 1j * np.sqrt(0.25 - 0.15**2),
    "consensus, gamma 1": 0.25 + 0.5j,
}
CRITIC = {"loss": "wasserstein"}
GAUSSIAN: dict[str, dict[str, Any]] = {
    "NSGAN": TURNS["alternating"],
    "NSGAN, simultaneous": SIMULTANEOUS,
    "GAN (saturating)": {"loss": "saturating"},
    "WGAN": CRITIC,
    "WGAN, simultaneous": CRITIC | SIMULTANEOUS,
    "WGAN, extra-gradient": CRITIC | {"game": "extra_gradient"},
    "WGAN, optimistic": CRITIC | SIMULTANEOUS | both(name="optimistic_gd"),
    "WGAN, consensus, gamma 0.1": CRITIC
    | {"game": "consensus", "game_args.consensus": 0.1},
    "WGAN, R1, gamma 0.1": CRITIC | {"penalty.r1": 0.1},
    "WGAN, R1, gamma 0.1, simultaneous": CRITIC | SIMULTANEOUS | {"penalty.r1": 0.1},
}


def radius_of(of: Any) -> float:
    """The largest |eigenvalue| of a matrix."""
    return float(np.abs(np.linalg.eigvals(np.asarray(of))).max())


def heavy_ball(lr: float, beta: float) -> np.ndarray:
    """An alternating step with momentum, y first, of (x, y, dx, dy): dy' = beta dy + lr x, dx' = beta dx - lr (y + dy')."""
    dy = np.array([lr, 0, 0, beta])
    y = np.array([0, 1, 0, 0]) + dy
    dx = np.array([0, 0, beta, 0]) - lr * y
    return np.stack([np.array([1, 0, 0, 0]) + dx, y, dx, dy])


def radius(toy: Toy) -> float:
    """The spectral radius of a step from the toy's state, on its first batch."""
    fed = jax.tree.map(lambda x: x[0], batches(toy, 1))
    return float(np.abs(step_eigenvalues(toy.step, toy.state, fed)).max())


def xy() -> Iterator[tuple]:
    """Rows of the xy game: radii beside their closed forms."""
    for rule, (changes, closed) in XY.items():
        for lr in RATES:
            toy = ready("xy", changes | both(lr=lr))
            after = toy._replace(state=walked(toy, 1)[1])  # optimism needs a last slope
            yield "xy", "", rule, lr, "spectral radius", radius(after), closed(lr)


def dirac() -> Iterator[tuple]:
    """Rows of Dirac-GAN: the distance to (0, 0) after so many steps, and radii there."""
    for variant, changes in DIRAC.items():
        for rule, turns in TURNS.items():
            if "game" in changes and rule == "alternating":
                continue  # consensus steps are simultaneous
            toy = ready("dirac", turns | changes)
            way, _ = walked(toy, LONG)
            for steps in (SHORT, LONG):
                distance = float(np.hypot(*way[steps]))
                yield "dirac", variant, rule, 0.1, f"distance {steps}", distance, ""
            if rule == "simultaneous" and variant in AT_ZERO:
                there = toy._replace(state=placed(toy.state, [0.0, 0.0]))
                closed = abs(1 - 0.1 * AT_ZERO[variant])
                yield "dirac", variant, rule, 0.1, "radius at 0", radius(there), closed


def gaussian() -> Iterator[tuple]:
    """Rows of the Gaussian game: how far the generator's mean and covariance are from the data's."""
    covariance = GAUSSIAN_FACTOR @ GAUSSIAN_FACTOR.T
    for variant, changes in GAUSSIAN.items():
        way, last = walked(ready("gaussian", changes), LONG)
        a, b = way[:, :4].reshape(-1, 2, 2), way[:, 4:6]
        made = np.einsum("tki,tkj->tij", a, a)
        off = np.linalg.norm(b - GAUSSIAN_MEAN, axis=1)
        wide = np.linalg.norm(made - covariance, axis=(1, 2))
        if bool(last.halted):
            yield "gaussian", variant, "", 0.05, "halted at step", int(last.step), ""
            continue
        for steps in (SHORT, LONG):
            # the mean over the last 100 steps: an orbit passes near the solution now and then
            recent = slice(steps - 99, steps + 1)
            values = {"mean": off[recent].mean(), "covariance": wide[recent].mean()}
            for what, value in values.items():
                name = f"{what} off, {steps}"
                yield "gaussian", variant, "", 0.05, name, float(value), ""


def table(rows: list[tuple]) -> None:
    """Print results as Markdown."""
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for row in rows:
        cells = (f"{x:.5g}" if isinstance(x, float) else str(x) for x in row)
        print(f"| {' | '.join(cells)} |")


def pictured() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The ways that are drawn: of the xy game under each rule, of each Dirac-GAN under simultaneous steps."""
    rules = {
        rule: walked(ready("xy", changes | both(lr=0.1)), 200)[0]
        for rule, (changes, _) in XY.items()
    }
    variants = {"GAN, alternating": ALTERNATING}
    variants |= {name: SIMULTANEOUS | changes for name, changes in DIRAC.items()}
    return rules, {
        name: walked(ready("dirac", changes), SHORT)[0]
        for name, changes in variants.items()
    }


def write(rows: list[tuple], ways: tuple[dict, dict]) -> None:
    """Print the table; write results.csv and the pictures."""
    table(rows)
    with (FOLDER / "results.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(
            [f"{x:.6g}" if isinstance(x, float) else x for x in row] for row in rows
        )
    rules, variants = ways
    draw(rules, ("x: generator", "y: discriminator"), IMAGES / "dynamics_xy.svg")
    draw(variants, ("theta", "psi"), IMAGES / "dynamics_dirac.svg")


def main() -> None:
    """Play all."""
    rows = [row for game in (xy, dirac, gaussian) for row in game()]
    write(rows, pictured())


if __name__ == "__main__":
    main()
