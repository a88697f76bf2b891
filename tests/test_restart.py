"""Starting again: on other devices, with the flag for GPUs, in silence."""

import re

import jax
import numpy as np
import pytest

from gan_jax.job import DETERMINISTIC, repeatable
from tests.recipes import saved_state, tiny
from tests.test_kills import lives
from tests.test_train import CLOCK, RING, SMALL, columns, finish, outcome

QUIET = ["--config.eval.every=0", "--config.sample_every=0", "--config.log_every=1"]
WORDS = [*RING, *SMALL, *QUIET]


def devices(count):
    return {"XLA_FLAGS": f"--xla_force_host_platform_device_count={count}"}


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """Folders of one run of 20 steps on four devices, and what it is after 25, on so many devices from there."""
    folder = tmp_path_factory.mktemp("begun")
    ends = {}
    for count in (4, 2, 1):
        words = [*WORDS, f"--workdir={folder / str(count)}"]
        first = lives([([*words, "--config.steps=20"], None)], **devices(4))
        second = lives([([*words, "--config.steps=25"], None)], **devices(count))
        ends[count] = [*first, *second]
    return folder, ends


def test_another_number_of_devices_is_said_and_the_same_is_not(begun):
    _, ends = begun
    for count, ((code, _, _), (again, text, newest)) in ends.items():
        assert (code, again, newest) == (0, 0, 25), text
        said = f"4 cpu devices -> {count} cpu device" in text
        assert said == (count != 4), text
        assert ("the same data order and noise" in text) == (count != 4)


@pytest.mark.parametrize("count", [2, 1])
def test_other_devices_see_the_same_data_and_noise(count, begun):
    """Five steps on, every number is within 1e-5: other examples or other noise would show in the first digit."""
    folder, _ = begun
    same, other = (saved_state(folder / str(n)) for n in (4, count))
    for a, b in zip(jax.tree.leaves(same), jax.tree.leaves(other), strict=True):
        if not jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key):
            np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-5)
    same, other = (columns(folder / str(n) / "metrics.jsonl") for n in (4, count))
    assert other["step"] == same["step"] == list(range(1, 26))
    for name in set(same) - CLOCK:
        np.testing.assert_allclose(other[name], same[name], rtol=1e-5, atol=1e-5)


def test_same_config_and_seed_same_bytes_with_and_without_the_flag(tmp_path):
    words = [*RING, *SMALL, "--config.steps=40"]
    plan = [
        ([*words, f"--workdir={tmp_path / name}", *more], None)
        for name, more in (
            ("a", []),
            ("b", []),
            ("flag", ["--config.deterministic=true"]),
            ("seed", ["--config.seed=1"]),
        )
    ]
    assert [code for code, _, _ in lives(plan)] == [0] * 4
    a, b, flag, seed = (outcome(tmp_path / n) for n in ("a", "b", "flag", "seed"))
    assert a == b == flag
    assert a != seed


def test_the_flag_reaches_xla(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_autotune_level=2")
    import os

    repeatable(tiny())
    assert os.environ["XLA_FLAGS"] == "--xla_gpu_autotune_level=2"
    for _ in range(2):
        repeatable(tiny(deterministic=True))
        flags = os.environ["XLA_FLAGS"].split()
        assert flags == ["--xla_gpu_autotune_level=2", DETERMINISTIC]


def test_a_normal_run_and_its_resumption_say_only_what_they_do(tmp_path):
    """No warning, no log line of a library: the lines that the program means to write, and nothing else."""
    expected = [
        r"mlp, loss .*, ring \(.*\), 1 cpu device\(s\), from step \d+ to \d+",
        r"step .*",
        r"done: .*",
        r"Sample it: .*",
        r"",
    ]
    for steps in (40, 80):
        code, text = finish(tmp_path, *RING, *SMALL, f"--config.steps={steps}")
        assert code == 0, text
        for line in re.split(r"[\r\n]", text):
            assert any(re.fullmatch(one, line) for one in expected), repr(line)
