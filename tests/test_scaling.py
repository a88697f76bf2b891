"""The arithmetic of data parallelism by closed forms, and the page that shows it."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import scaling_model as model
from benchmarks.scaling import apart, collectives

PAGE = (Path(__file__).parents[1] / "docs/scaling.md").read_text()
SMALL = model.Net(16, 4, 0.0, {"model.width": 4, "n_disc": 2})


def machine(near=10.0, group=2, far=1.0, latency=0.0):
    return model.Machine(1.0, near, group, far, lambda n: latency)


@pytest.mark.parametrize(
    "n, seconds", [(1, 0.0), (2, 4.0), (4, 4.0 + 20.0), (8, 4.0 + 30.0)]
)
def test_a_ring_sends_all_but_a_share_twice(n, seconds):
    """40 bytes: within two chips 2 * 1/2 * 40 / 10, then 2 (m - 1) / m * 20 / 1 over m pairs."""
    assert model.all_reduce(40.0, n, machine()) == pytest.approx(seconds)
    late = model.all_reduce(40.0, n, machine(latency=3.0))
    assert late == pytest.approx(seconds + 3.0)


@pytest.mark.parametrize("n", [2, 8, 64])
def test_more_bandwidth_is_never_slower_and_more_bytes_never_faster(n):
    by_near = [model.all_reduce(1e6, n, machine(near=b)) for b in (1, 2, 4)]
    by_far = [model.all_reduce(1e6, n, machine(far=b)) for b in (1, 2, 4)]
    by_size = [model.all_reduce(s, n, machine()) for s in (1, 2, 4)]
    assert by_near == sorted(by_near, reverse=True) and len(set(by_near)) == 3
    assert by_far == sorted(by_far, reverse=True)
    assert by_size == sorted(by_size) and len(set(by_size)) == 3


def test_latencies_grow_with_the_machines():
    assert model.nccl(8) == pytest.approx(11.4e-6)
    assert model.nccl(64) == pytest.approx(41.4e-6)
    assert model.torus(64, 2) == pytest.approx(16e-6)
    assert model.torus(512, 3) == pytest.approx(24e-6)


def test_efficiency():
    assert model.efficiency(1.0, 0.0, 0.0) == 1.0
    assert model.efficiency(1.0, 0.5, 0.5) == 0.5
    assert model.efficiency(1.0, 0.5, 0.0, 0.5) == 1.0
    assert model.efficiency(1.0, 0.0, 1.0, 0.5) == 0.5, "moments are waited for"
    nothing = model.Traffic([(0.0, 2)], [])
    assert model.efficiency(1.0, *nothing.seconds(8, machine())) == 1.0


def test_the_least_batch_is_the_first_that_pays():
    image, sent = 1e-3, 0.0101
    floor = model.least_batch(image, sent)
    assert model.efficiency(floor * image, sent, 0.0) >= model.ENOUGH
    assert model.efficiency((floor - 1) * image, sent, 0.0) < model.ENOUGH


def test_what_is_sent_is_what_the_networks_have():
    """Initialised networks: four bytes a parameter; two moments of each BatchNorm, of all its passes."""
    recipe, nets, state = model.parts(SMALL, 4)
    hyper = jax.tree.map(lambda x: jnp.ones(x.shape, x.dtype), state.hyper)
    z = jnp.zeros((4, recipe.model.latent_dim))
    gen, gen_vars = jax.jit(nets.gen.init)(jax.random.key(0), hyper, z)
    x = jnp.zeros((4, 16, 16, 3))
    disc, disc_vars = jax.jit(nets.disc.init)(jax.random.key(0), hyper, x)
    sent = model.traffic(recipe, state.players)

    def nbytes(tree):
        return sum(x.nbytes for x in jax.tree.leaves(tree))

    assert sent.gradients == [(nbytes(disc), 2), (nbytes(gen), 1)]
    assert nbytes(gen) == 4 * sum(np.size(x) for x in jax.tree.leaves(gen))
    moments = sum(b * k for b, k in sent.moments)
    assert moments == 3 * nbytes(gen_vars) + 10 * nbytes(disc_vars) > 0


def test_flops_are_counted_in_loops_and_branches():
    def f(x, w, kernel):
        def body(x, _):
            return jax.lax.cond(x.sum() > 0, lambda x: x @ w, lambda x: x, x), None

        x, _ = jax.lax.scan(body, x, length=3)
        dims = ("NHWC", "HWIO", "NHWC")
        image = x.reshape(1, 2, 2, 4)
        return jax.lax.conv_general_dilated(
            image, kernel, (1, 1), "VALID", dimension_numbers=dims
        )

    jaxpr = jax.make_jaxpr(jax.jit(f))(
        jnp.ones((4, 4)), jnp.ones((4, 4)), jnp.ones((2, 2, 4, 5))
    )
    assert model.flops(jaxpr.jaxpr) == 3 * 2 * 4**3 + 2 * (2 * 2 * 4) * 5


def test_the_flops_of_the_table_are_those_of_the_step():
    net = model.NETWORKS["DCGAN-64"]
    assert model.counted(net) == pytest.approx(net.flops, rel=0.01)


def test_collectives_of_a_program():
    text = """
  %a = (f32[4,2]{1,0}, bf16[3]{0}) all-reduce(%x, %y), channel_id=1
  %b = f32[] all-reduce-start(%x), channel_id=2
  %c = f32[] all-reduce-done(%b)
  %d = pred[8]{0} all-gather(%x), dimensions={0}
ENTRY %main {
  %e = f32[100]{0} all-gather(%x), dimensions={0}
"""
    assert collectives(text) == (2, 1, 32 + 6 + 4 + 8)


class Trained:
    """A way whose arrays went from 0."""

    def __init__(self, *arrays):
        after = [np.array(x) for x in arrays]
        self.params = lambda: ([np.zeros_like(x) for x in after], after)


def test_an_array_is_judged_by_the_way_that_it_went():
    """A short way that is half wrong weighs more than a large difference of a long one; what stands still is at 0."""
    base = Trained([30.0, 40.0], [0.0, 2e-3], [0.0])
    way = Trained([30.0, 39.5], [0.0, 1e-3], [0.0])
    assert apart(way, base) == pytest.approx((0.5, 0.5))
    assert apart(base, base) == (0.0, 0.0)
    assert apart(Trained([30.0, 40.5]), Trained([30.0, 40.0])) == (0.5, 0.01)


def test_the_page_shows_what_the_code_computes():
    tables = model.sizes_table(), model.computed_table(list(model.NETWORKS))
    for table in tables:
        assert "\n".join(table) in PAGE


def test_a_measured_step_takes_the_place_of_the_assumed_ones():
    rows = model.computed_table(["DCGAN-64"], 2.5)[2:]
    assert len(rows) == len(model.MACHINES)
    assert all("measured | 2.50 |" in row for row in rows)
