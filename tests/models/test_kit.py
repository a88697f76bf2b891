"""What the kit makes of a spec: labels, spectral norm, minibatch layers, reference batches, within whole networks."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.models import build, with_reference
from gan_jax.models.kit import CONDITIONS, EMBEDDING
from gan_jax.models.norms import REFERENCE
from gan_jax.types import ModelSpec, Network, Scores, UserError

HYPER = {"model": {"init_std": 0.2, "norm_momentum": 0.9, "dropout": 0.5}}
MLP = ModelSpec("mlp", (2,), latent_dim=3, width=8, classes=3)
DCGAN = ModelSpec("dcgan", (16, 16, 1), latent_dim=3, width=2, classes=3)
LABELS = jnp.array([0, 1, 2, 1])


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def randomised(tree, seed=5):
    """The same tree of other numbers, N(1, 0.25): so that no scale is one and no bias is zero."""
    draws = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: jnp.asarray(1 + draws.normal(size=leaf.shape) / 2, leaf.dtype),
        tree,
    )


def initial(net, *inputs):
    """(params, vars) of a network."""
    return jax.jit(partial(net.init, jax.random.key(0), HYPER))(*inputs)


def shapes(net, *inputs):
    """(params, vars) of a network, shapes only."""
    return jax.eval_shape(partial(net.init, jax.random.key(0), HYPER), *inputs)


def test_spectral_vector_moves_only_in_training():
    spec = replace(DCGAN, classes=0, disc_spectral=True)
    (gen, disc), x = build(spec), normal(4, 16, 16, 1)
    assert set(shapes(gen, normal(4, 3))[1]) == {"batch_stats"}
    params, variables = initial(disc, x)
    sizes = {name: tree["u"].shape for name, tree in variables["spectral"].items()}
    assert sizes == {"Conv_0": (2,), "Conv_1": (4,), "Dense_0": (1,)}
    run = jax.jit(disc.apply, static_argnames="train")
    _, moved = run(params, variables, HYPER, x, train=True)
    _, same = run(params, variables, HYPER, x, train=False)
    for name in ("Conv_0", "Conv_1"):
        u, after, still = (v["spectral"][name]["u"] for v in (variables, moved, same))
        assert (u == still).all() and (u != after).any()
        np.testing.assert_allclose(jnp.linalg.norm(after), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "extra"), [("none", 0), ("stddev", 1), ("discrimination", 50)]
)
def test_minibatch_layers_sit_before_the_logit(name, extra):
    """The features that D answers, which feature matching and projection read, stay those before it."""
    net, x = build(replace(MLP, minibatch=name)).disc, normal(4, 2)
    params, _ = initial(net, x)
    scores, _ = net.apply(params, {}, HYPER, x, train=True)
    assert params["Dense_1"]["kernel"].shape == (8 + extra, 1)
    assert scores.features.shape == (4, 8)


def test_virtual_batch_norm_of_a_network():
    """The reference is the first training batch for good; no sample then depends on the others, in any mode."""
    net = build(replace(DCGAN, norm="virtual", classes=0)).disc
    first, second = normal(40, 16, 16, 1), 2 * normal(4, 16, 16, 1, seed=1) + 1
    params, start = initial(net, second)
    run = jax.jit(net.apply, static_argnames="train")
    assert not start["reference"]["rows"].any() and not start["reference"]["seen"]
    _, untouched = run(params, start, HYPER, first, train=False)
    assert not untouched["reference"]["seen"]
    _, seen = run(params, start, HYPER, first, train=True)
    np.testing.assert_array_equal(seen["reference"]["rows"], first[:REFERENCE])
    out, later = run(params, seen, HYPER, second, train=True)
    np.testing.assert_array_equal(later["reference"]["rows"], first[:REFERENCE])
    still, _ = run(params, later, HYPER, second, train=False)
    np.testing.assert_array_equal(out.logits, still.logits)
    changed, _ = run(params, later, HYPER, second.at[1:].mul(-3.0), train=True)
    np.testing.assert_allclose(changed.logits[0], out.logits[0], rtol=1e-5)
    assert (changed.logits[1:] != out.logits[1:]).all() and out.logits.shape == (4,)
    elsewhere, _ = run(params, start, HYPER, second, train=True)
    assert abs(elsewhere.logits - out.logits).max() > 1e-3  # the reference matters


def test_a_small_first_batch_is_repeated_as_reference():
    inner = Network(lambda *a: ({}, {}), lambda p, v, h, x, train: (Scores(x), v))
    net, x = with_reference(inner), jnp.arange(5.0)
    params, variables = initial(net, x)
    out, variables = net.apply(params, variables, HYPER, x, train=True)
    np.testing.assert_array_equal(out.logits, x)
    np.testing.assert_array_equal(variables["reference"]["rows"], jnp.arange(32.0) % 5)


# name -> (parameters that the generator and the discriminator gain, whose answer follows the label)
TOLD = {
    "none": (set(), set(), [False, False]),
    "concat": ({"Dense"}, {"Dense"}, [True, True]),
    "projection": ({"ClassAffine"}, {"projection"}, [True, True]),
    "concat_projection": ({"Dense"}, {"projection"}, [True, True]),
    "concat_gen": ({"Dense"}, set(), [True, False]),
    "norm_gen": ({"ClassAffine"}, set(), [True, False]),
}


def kinds(params):
    """Kind of layer -> how many."""
    found = [name.split("_")[0] for name in params]
    return {kind: found.count(kind) for kind in found}


@pytest.mark.parametrize("spec", [MLP, DCGAN], ids=["mlp", "dcgan"])
@pytest.mark.parametrize("name", CONDITIONS)
def test_conditions_reach_the_player_that_they_should(name, spec):
    inputs = normal(4, 3), normal(4, *spec.image_shape)
    told = build(replace(spec, condition=name))
    *extra, follows = TOLD[name]
    pairs = zip(told, build(replace(spec, condition="none")), inputs, strict=True)
    for (net, plain, x), gains, follow in zip(pairs, extra, follows, strict=True):
        params, variables = randomised(shapes(net, x, LABELS))
        counts, before = kinds(params), kinds(shapes(plain, x)[0])
        assert {kind for kind in counts if counts[kind] != before.get(kind)} == gains
        run = jax.jit(partial(net.apply, train=True))
        scores, other = (
            run(params, variables, HYPER, x, label)[0]
            for label in (LABELS, LABELS.at[0].set(2))
        )
        changed = [
            (a[0] != b[0]).any()
            for a, b in zip(*map(jax.tree.leaves, (scores, other)), strict=True)
        ]
        assert any(changed) == follow


def test_class_norms_take_the_place_of_the_norms_own_affine():
    gen = build(replace(DCGAN, condition="norm_gen")).gen
    params, _ = shapes(gen, normal(4, 3), LABELS)
    assert not any("BatchNorm" in name for name in params)
    assert params["ClassAffine_0"]["scale"].shape == (3, 4)
    assert "bias" not in params["Dense_0"]


def test_embedding_is_appended_to_the_latent_and_as_channels():
    nets = build(replace(DCGAN, condition="concat"))
    gen, disc = (
        shapes(net, x, LABELS)[0]
        for net, x in zip(nets, (normal(4, 3), normal(4, 16, 16, 1)), strict=True)
    )
    tables = [p["kernel"].shape for p in gen.values() if "kernel" in p]
    assert (3, EMBEDDING) in tables and (3 + EMBEDDING, 4 * 4 * 4) in tables
    assert disc["Conv_0"]["kernel"].shape == (4, 4, 1 + EMBEDDING, 2)


def test_projection_adds_the_inner_product_with_the_features():
    net, x = build(replace(MLP, condition="projection")).disc, normal(4, 2)
    params, _ = initial(net, x, LABELS)
    scores, _ = net.apply(params, {}, HYPER, x, LABELS, train=True)
    table = params.pop("projection")["kernel"]
    plain, _ = build(MLP).disc.apply(params, {}, HYPER, x, train=True)
    assert table.shape == (3, 8)
    inner = (np.asarray(table)[np.asarray(LABELS)] * scores.features).sum(1)
    assert abs(inner).min() > 1e-4
    np.testing.assert_allclose(
        scores.logits, plain.logits + inner, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_array_equal(scores.features, plain.features)


def test_aux_numbers_are_a_linear_map_of_the_features():
    net, x = build(replace(MLP, aux=5)).disc, normal(4, 2)
    params, _ = initial(net, x)
    scores, _ = net.apply(params, {}, HYPER, x, train=True)
    head = params.pop("aux")
    expected = scores.features @ head["kernel"] + head["bias"]
    assert scores.aux.shape == (4, 5)
    np.testing.assert_allclose(scores.aux, expected, rtol=1e-5, atol=1e-6)
    plain, _ = build(MLP).disc.apply(params, {}, HYPER, x, train=True)
    assert plain.aux is None


@pytest.mark.parametrize("field", ["condition", "minibatch"])
def test_unknown_names_list_the_choices(field):
    net = build(replace(MLP, **{field: "nonsense"})).disc
    message = f"unknown model.{field} 'nonsense'; .*choices: none"
    with pytest.raises(UserError, match=message):
        initial(net, normal(4, 2), LABELS)


@pytest.mark.parametrize("condition", ["concat", "projection"])
def test_bfloat16_networks_told_a_label_answer_in_full(condition):
    spec = replace(DCGAN, condition=condition, precision="bfloat16", minibatch="stddev")
    spec = replace(spec, gen_spectral=True, disc_spectral=True, aux=2)
    for net, x in zip(build(spec), (normal(4, 3), normal(4, 16, 16, 1)), strict=True):

        def run(x, net=net):
            params, variables = initial(net, x, LABELS)
            return params, net.apply(params, variables, HYPER, x, LABELS, train=True)

        leaves = jax.tree.leaves(jax.eval_shape(run, x))
        assert {leaf.dtype for leaf in leaves} == {jnp.dtype("float32")}
        assert "bf16[" in str(jax.make_jaxpr(run)(x))
