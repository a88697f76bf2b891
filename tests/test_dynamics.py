"""The field and its Jacobian's spectrum: closed forms, Krylov against the whole matrix, products alone, the verb."""

import csv
import json
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from gan_jax import dynamics
from gan_jax.cli import main
from gan_jax.dynamics import DIRECTIONS, krylov, matrix, outermost, rotation
from gan_jax.objectives import Row
from gan_jax.step import init, make_step
from gan_jax.types import Batch
from tests.bilinear import ONES, SGD, Bilinear
from tests.recipes import parts, tiny

ROOT = Path(__file__).parents[1]


class Potential(Bilinear):
    """Both players minimise x^2 + 3 x y - y^2 / 2."""

    def disc_loss(self, params, vars, context, made, detach):
        value = made**2 + 3 * made * params["y"] - params["y"] ** 2 / 2
        return value, (vars, {"loss/disc": value}, context.memory)

    def gen_loss(self, made, params, disc, context):
        y = disc.params["y"]
        value = made**2 + 3 * made * y - y**2 / 2
        return value, ({"loss/gen": value}, context.memory)


POTENTIAL = Row(Potential)


def opened(c, shape, batch):
    """(J^T u of the first state, the number of parameters)."""
    recipe, nets, hyper = parts(c, shape)
    state = init(recipe, nets, hyper, 0)
    product = dynamics.make_product(recipe, nets)
    return partial(product, state, batch), len(dynamics.parameters(state))


def test_the_bilinear_game_rotates_and_does_nothing_else():
    transposed, n = opened(tiny(**SGD), (1,), ONES)
    np.testing.assert_allclose(matrix(transposed, n), [[0, 1], [-1, 0]], atol=1e-7)
    values = dynamics.spectrum(transposed, n, 2)["rotation"]
    assert values == pytest.approx([1j, -1j], abs=1e-6)
    assert rotation(values) == pytest.approx([1, 1])
    assert dynamics.split(transposed, n) == pytest.approx((0, 2), abs=1e-6)


def test_a_potential_attracts_and_repels_and_does_not_rotate():
    c = tiny(**{**SGD, "objective": f"{__name__}:POTENTIAL"})
    transposed, n = opened(c, (1,), ONES)
    np.testing.assert_allclose(matrix(transposed, n), [[2, 3], [3, -1]], atol=1e-6)
    found = dynamics.spectrum(transposed, n, 1)
    middle, root = 0.5, (1.5**2 + 9) ** 0.5
    assert found["attraction"] == pytest.approx([middle + root], abs=1e-5)
    assert found["repulsion"] == pytest.approx([middle - root], abs=1e-5)
    assert rotation(found["magnitude"]) == pytest.approx([0])
    assert dynamics.split(transposed, n) == pytest.approx((23, 0), abs=1e-4)


# -- matrices that are known


def known(n):
    """A matrix that is not normal, its eigenvalues: pairs a +- bi of all sizes, some far out in each direction."""
    random = np.random.default_rng(0)
    pairs = random.normal(0, 0.3, (n // 2, 2))
    pairs[:8] = [[9, 1], [8, 2], [1, 7], [-1, 6], [-5, 0.5], [-4, 1], [6, 3], [2, 5]]
    blocks = np.zeros((n, n))
    for i, (a, b) in enumerate(pairs):
        blocks[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = [[a, b], [-b, a]]
    blocks += np.triu(random.normal(0, 0.02, (n, n)), 2)
    turn = np.linalg.qr(random.normal(size=(n, n)))[0]
    values = pairs[:, 0] + 1j * pairs[:, 1]
    return turn @ blocks @ turn.T, np.concatenate([values, values.conj()])


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_krylov_finds_the_outermost_eigenvalues(direction):
    j, values = known(200)
    even = outermost(np.linalg.eigvals(j), 4, direction)
    found = krylov(lambda u: j.T @ u, 200, 4, direction)
    assert found == pytest.approx(even, rel=1e-3, abs=1e-3)
    away = np.abs(found[:, None] - values[None])
    assert away.min(1).max() < 0.05, "those of the blocks"
    rank = DIRECTIONS[direction].rank(found)
    assert (np.diff(rank) <= 1e-6).all()


def test_eigenvalues_that_do_not_converge_are_left_out(monkeypatch):
    monkeypatch.setattr(dynamics, "RESTARTS", 1)
    monkeypatch.setattr(dynamics, "TOLERANCE", 1e-12)
    j = np.random.default_rng(0).normal(size=(300, 300))
    found = krylov(lambda u: j.T @ u, 300, 30, "rotation")
    assert len(found) < 30
    every = np.linalg.eigvals(j)
    assert all(np.abs(every - value).min() < 0.05 for value in found)


def test_the_parts_of_a_large_matrix_are_estimated(monkeypatch):
    j = known(200)[0]
    exact = [np.sum(((j + sign * j.T) / 2) ** 2) for sign in (1, -1)]
    assert dynamics.split(lambda u: j.T @ u, 200) == pytest.approx(exact)
    monkeypatch.setattr(dynamics, "WHOLE", 100)
    found = dynamics.split(lambda u: j.T @ u, 200)
    assert found != pytest.approx(exact)
    assert found == pytest.approx(exact, rel=0.1)


def test_large_matrices_are_not_made_whole(monkeypatch):
    monkeypatch.setattr(dynamics, "matrix", None)
    monkeypatch.setattr(dynamics, "WHOLE", 100)
    j, _ = known(200)
    whole = np.linalg.eigvals(j)
    found = dynamics.spectrum(lambda u: j.T @ u, 200, 2)
    for name in DIRECTIONS:
        exact = outermost(whole, 2, name)
        assert found[name] == pytest.approx(exact, rel=1e-3, abs=1e-3)


# -- networks

SMOOTH = {"model.norm": "none", "optim.gen.name": "sgd", "optim.disc.name": "sgd"}
SMOOTH |= {"optim.gen.lr": 0.1, "optim.disc.lr": 0.1, "model.depth": 1}
SMOOTH |= {"model.width": 4, "penalty.r1": 0.5, "game": "simultaneous"}


@pytest.fixture(scope="module")
def mlp():
    """(recipe, nets, state, batch, J) of a GAN on points."""
    recipe, nets, hyper = parts(tiny(**SMOOTH), (2,))
    points = np.random.default_rng(0).normal(size=(1, 32, 2)).astype(np.float32)
    state, batch = init(recipe, nets, hyper, 0), Batch(points)
    product = partial(dynamics.make_product(recipe, nets), state, batch)
    n = len(dynamics.parameters(state))
    return recipe, nets, state, batch, matrix(product, n), product


def test_a_simultaneous_step_goes_down_the_field(mlp):
    recipe, nets, state, batch, *_ = mlp
    w = dynamics.parameters(state)
    v = jax.jit(dynamics.make_field(recipe, nets))(w, state, batch)
    after, _ = jax.jit(make_step(recipe, nets))(state, batch)
    np.testing.assert_allclose(
        dynamics.parameters(after), w - 0.1 * v, rtol=1e-5, atol=1e-6
    )
    assert float(jnp.abs(v).max()) > 0.01


def test_rows_of_products_are_the_jacobian_in_forward_mode(mlp):
    recipe, nets, state, batch, j, _ = mlp
    v = dynamics.make_field(recipe, nets)
    forward = jax.jit(jax.jacfwd(lambda w: v(w, state, batch)))
    expected = forward(dynamics.parameters(state))
    np.testing.assert_allclose(j, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_krylov_is_the_whole_matrix_on_a_network(mlp, direction):
    *_, j, product = mlp
    exact = outermost(np.linalg.eigvals(j), 2, direction)
    found = krylov(product, len(j), 2, direction)
    assert found == pytest.approx(exact, rel=1e-3, abs=1e-3 * np.abs(exact[0]))


def test_krylov_has_products_alone_of_the_fast_convolutions():
    c = tiny(**{**SMOOTH, "model.name": "dcgan", "model.width": 2, "batch_size": 4})
    recipe, nets, hyper = parts(c, (8, 8, 1))
    pictures = np.random.default_rng(0).integers(0, 256, (1, 4, 8, 8, 1))
    batch = Batch(pictures.astype(np.uint8))
    state = init(recipe, nets, hyper, 0)
    w = dynamics.parameters(state)
    v = dynamics.make_field(recipe, nets)
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(lambda w: v(w, state, batch), (w,), (w,))
    product = partial(dynamics.make_product(recipe, nets), state, batch)
    whole = np.linalg.eigvals(matrix(product, len(w)))
    for direction in ("magnitude", "rotation"):
        exact = outermost(whole, 2, direction)
        found = krylov(product, len(w), 2, direction)
        assert found == pytest.approx(exact, rel=1e-3, abs=1e-3 * np.abs(exact[0]))


# -- the verb

XY = [f"--config={ROOT}/configs/xy.py:smoke", "--config.penalty.r1=0.3"]
XY += ["--config.penalty.every=16"]  # as if in every step


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("xy")
    assert main([*XY, f"--workdir={folder}"]) == 0
    return folder


def test_the_verb_writes_a_runs_spectrum(run, capsys):
    words = ["dynamics", f"--workdir={run}", "--batch=8"]
    assert main([*words, "--step=10,20", "--n=2"]) == 0
    said = capsys.readouterr().out
    assert "step 10: 2 parameters, 8 examples" in said and "step 20" in said
    with (run / "dynamics/eigenvalues.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["step"] for row in rows} == {"10", "20"}
    assert {row["direction"] for row in rows} == set(DIRECTIONS)
    for row in rows:  # [[0, -1], [1, gamma]] wherever the players are
        value = float(row["real"]) + 1j * float(row["imag"])
        assert value.real == pytest.approx(0.15, abs=1e-5)
        assert abs(value.imag) == pytest.approx((1 - 0.15**2) ** 0.5, abs=1e-5)
        share = (1 - 0.15**2) ** 0.5
        assert float(row["rotation"]) == pytest.approx(share, abs=1e-5)
    one, other = json.loads((run / "dynamics/dynamics.json").read_text())["checkpoints"]
    assert (one["step"], other["step"]) == (10, 20)
    assert one["antisymmetric"] == pytest.approx(2, abs=1e-5)
    assert one["symmetric"] == pytest.approx(0.3**2, abs=1e-5)
    assert np.asarray(Image.open(run / "dynamics/eigenvalues.png")).std() > 0


def test_a_second_call_adds_to_what_is_there(run, tmp_path):
    words = ["dynamics", f"--workdir={run}", f"--out={tmp_path}", "--batch=8"]
    for step in ("20", "10", "latest"):
        assert main([*words, f"--step={step}"]) == 0
    found = json.loads((tmp_path / "dynamics.json").read_text())["checkpoints"]
    assert [one["step"] for one in found] == [10, 20]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--step=ten"], "give a step, latest or best"),
        (["--step=7"], "step 7"),
        (["--config.steps=3"], "takes no --config"),
        (["--n=0"], "1 or more"),
        (["--batch=0"], "1 or more"),
    ],
)
def test_mistakes_are_a_sentence(run, words, said, capsys):
    assert main(["dynamics", f"--workdir={run}", *words]) == 2
    assert said in capsys.readouterr().err
