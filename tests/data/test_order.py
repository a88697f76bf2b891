import numpy as np
import pytest

from gan_jax.data import indices


def test_each_epoch_is_a_permutation_and_epochs_and_seeds_differ():
    flat = indices(seed=3, start=0, count=30, n_disc=1, batch=10, size=100).ravel()
    epochs = flat.reshape(3, 100)
    assert all((np.sort(epoch) == np.arange(100)).all() for epoch in epochs)
    assert (epochs[0] != epochs[1]).any() and (epochs[1] != epochs[2]).any()
    assert (flat != indices(4, 0, 30, 1, 10, 100).ravel()).any()


def test_definition_example_by_example():
    seed, n_disc, batch, size = 7, 3, 5, 11
    got = indices(seed, 4, 6, n_disc, batch, size)
    assert got.shape == (6, n_disc, batch) and got.dtype == np.int32
    for t, index in enumerate(got.ravel(), start=4 * n_disc * batch):
        order = np.random.Generator(
            np.random.Philox(key=[seed, t // size])
        ).permutation(size)
        assert index == order[t % size]


@pytest.mark.parametrize("size", [1, 2, 7, 64, 1000])
def test_any_chunking_gives_the_same_order(size):
    whole = indices(0, 0, 40, 2, 8, size)
    for cut in ([40], [20, 20], [7, 33], [1] * 40):
        starts = np.cumsum([0, *cut[:-1]])
        parts = [
            indices(0, int(s), c, 2, 8, size) for s, c in zip(starts, cut, strict=True)
        ]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert whole.min() >= 0 and whole.max() < size


def test_golden_values():
    # The order is part of a run's identity: if this changes, no run can be resumed or reproduced.
    got = indices(seed=1, start=0, count=2, n_disc=1, batch=8, size=10)
    assert got.tolist() == GOLDEN


def test_late_steps_cost_nothing_and_do_not_overflow():
    got = indices(0, 10**9, 1, 5, 256, 200_000)
    assert got.min() >= 0 and got.max() < 200_000 and len(np.unique(got)) == got.size


def test_no_steps_is_an_empty_chunk():
    assert indices(0, 5, 0, 2, 3, 10).shape == (0, 2, 3)


@pytest.mark.parametrize(
    "bad",
    [(-1, 0, 1, 1, 1, 1), (0, -1, 1, 1, 1, 1), (0, 0, 1, 0, 1, 1), (0, 0, 1, 1, 1, 0)],
)
def test_nonsense_is_refused(bad):
    with pytest.raises(ValueError, match="indices needs"):
        indices(*bad)


GOLDEN = [[[6, 0, 7, 9, 4, 1, 8, 5]], [[2, 3, 2, 7, 3, 0, 9, 1]]]
