"""Checkpoints: bitwise round trips, damage of every kind, kills in the middle of saves."""

import contextlib
import inspect
import logging
import os
import shutil
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest

from gan_jax import checkpoint
from gan_jax.checkpoint import CheckpointError, Checkpoints
from gan_jax.manifest import LEDGER
from gan_jax.types import Pair, Player, TrainState


def train_state(seed=0):
    key = jax.random.key(seed)

    def player(k):
        params = {"Dense_0": {"kernel": jax.random.normal(k, (3, 5))}}
        return Player(params, {"mean": jnp.ones(5)}, optax.adam(1e-3).init(params))

    gen, disc = (player(k) for k in jax.random.split(key))
    return TrainState(
        step=jnp.int32(seed),
        key=key,
        players=Pair(gen, disc),
        ema=Pair((gen.params, gen.vars), ({}, {})),
        hyper={"optim": {"gen": {"lr": jnp.float32(1e-4)}}, "trick": {}},
        memory={"lecam": jnp.zeros(2), "pool": jnp.zeros((0, 3))},
        halted=jnp.bool_(False),
    )


def bits(state):
    """Return the structure and every leaf as (dtype, shape, bytes)."""
    found = [jax.tree.structure(state)]
    for x in jax.tree.leaves(state):
        key = str(getattr(x, "dtype", "")).startswith("key")
        y = np.asarray(jax.random.key_data(x) if key else x)
        found.append((key or y.dtype, y.shape, y.tobytes()))
    return found


def small(step):
    return {"a": np.arange(4096.0).reshape(64, 64) + step, "step": np.int32(step)}


@pytest.fixture
def saved(tmp_path):
    """Steps 100 and 200 of `small`."""
    made = Checkpoints(tmp_path / "checkpoints")
    for step in (100, 200):
        made.save(step, small(step))
    return made


def data_file(made, step):
    """Return the largest file that holds arrays."""
    return max((made.folder / str(step)).rglob("d/*"), key=lambda p: p.stat().st_size)


def test_train_state_comes_back_bitwise(tmp_path):
    made, state = Checkpoints(tmp_path / "c"), train_state(3)
    made.save(7, state)
    for target in (state, jax.eval_shape(lambda: train_state(4))):
        back = made.restore(7, target)
        assert bits(back) == bits(state)
        # All leaves but the key, which works as one, are NumPy.
        others = [x for x in jax.tree.leaves(back) if type(x) is not np.ndarray]
        assert jax.random.bits(*others) == jax.random.bits(state.key)


def test_every_kind_of_leaf(tmp_path):
    values, floats = [np.nan, -0.0, np.inf], (ml_dtypes.bfloat16, np.float16, float)
    state = {
        "scalars": (1, 2.5, True, np.float32(0.1), np.bool_(True)),
        "floats": [np.array(values, dtype) for dtype in floats],
        "integers": (np.arange(256, dtype=np.uint8), np.array([-(2**63), 2**63 - 1])),
        "odd/name.with é": np.ones(2, np.complex64),
        "transposed": np.arange(6.0).reshape(2, 3).T,
        "empty": np.zeros((0, 3), np.int16),
        "nothing": [np.zeros(1), {}, None],
        "keys": (jax.random.split(jax.random.key(1), 3), jax.random.PRNGKey(2)),
        "rbg": jax.random.key(1, impl="rbg"),
    }
    made = Checkpoints(tmp_path)
    made.save(0, state)
    assert bits(back := made.restore(None, state)) == bits(state)
    assert jax.random.key_impl(back["rbg"]) == jax.random.key_impl(state["rbg"])


def test_what_cannot_be_saved_is_named(tmp_path):
    made = Checkpoints(tmp_path / "c")
    with pytest.raises(ValueError, match="leaf a.b of the state is not an array"):
        made.save(1, {"a": {"b": object()}})
    with pytest.raises(ValueError, match="same path"):
        made.save(1, {"a": {"b": 1}, "a.b": 2})
    with pytest.raises(ValueError, match="keep"):
        Checkpoints(tmp_path, keep=0)
    assert made.latest() is None and made.steps() == [] and not made.folder.exists()
    with pytest.raises(CheckpointError, match="no checkpoint in .*train first"):
        made.restore(None, {})
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match="step 1 could not be saved in .*file"):
        Checkpoints(tmp_path / "file").save(1, small(1))


def test_state_on_several_devices_restores_on_one(tmp_path):
    code = f"""
        import jax, jax.numpy as jnp
        from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
        from gan_jax.checkpoint import Checkpoints
        mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
        put = lambda x, *spec: jax.device_put(x, NamedSharding(mesh, P(*spec)))
        state = {{"a": put(jnp.arange(16.0), "data"), "k": put(jax.random.key(5))}}
        assert len(state["a"].sharding.device_set) == 4
        Checkpoints({str(tmp_path)!r}).save(1, state)
    """
    python(code, XLA_FLAGS="--xla_force_host_platform_device_count=4")
    state = {"a": jnp.arange(16.0), "k": jax.random.key(5)}
    assert bits(Checkpoints(tmp_path).restore(1, state)) == bits(state)


def python(code, **env):
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code)]
    how = {"env": {**os.environ, **env}, "timeout": 100}
    done = subprocess.run(command, **how, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), done.stderr


def test_keeps_the_newest_two_and_replaces(saved):
    saved.save(300, small(300))
    saved.save(200, small(7))  # older than the newest, and there already
    assert saved.latest() == 300
    assert bits(saved.restore(200, small(0))) == bits(small(7))
    assert bits(saved.restore(None, small(0))) == bits(small(300))
    assert set(os.listdir(saved.folder)) == {"200", "300", LEDGER}


def test_quiet_and_no_threads_left(tmp_path, capfd, caplog, monkeypatch):
    made, state = Checkpoints(tmp_path), train_state()
    threads = threading.active_count()
    with caplog.at_level(logging.DEBUG, "absl"):
        made.save(1, state)
        made.restore(None, state)
        assert caplog.records == []
        monkeypatch.setattr(checkpoint, "_quiet", contextlib.nullcontext)
        made.restore(None, state)
        assert caplog.records  # so there was something to keep quiet
    assert threading.active_count() == threads and capfd.readouterr() == ("", "")


def damage(path, way):
    data = bytearray(path.read_bytes())
    path.unlink()
    if way == "flipped":
        data[len(data) // 2] ^= 4
    if way != "deleted":
        path.write_bytes({"truncated": data[:-10], "emptied": b""}.get(way, data))


@pytest.mark.parametrize("which", ["data", "default/_METADATA", "manifest.json"])
@pytest.mark.parametrize("way", ["truncated", "emptied", "flipped", "deleted"])
def test_damage_is_named_and_the_older_step_used(saved, capfd, way, which):
    path = data_file(saved, 200) if which == "data" else saved.folder / "200" / which
    damage(path, way)
    (problem,) = saved.verify(200)
    assert str(path) in problem and saved.verify(100) == []
    with pytest.raises(CheckpointError, match=f"step 200: .*{path}"):
        saved.restore(200, small(0))
    assert capfd.readouterr().err == ""
    assert bits(saved.restore(None, small(0))) == bits(small(100))
    err = capfd.readouterr().err
    assert err.startswith("WARNING: using step 100: step 200 is damaged: ")
    assert err.count("\n") == 1 and str(path) in err


def test_damaged_step_does_not_push_out_the_good_one(saved, capfd):
    damage(data_file(saved, 200), "flipped")
    assert saved.restore(None, small(0))["step"] == saved.latest() == 100
    saved.save(150, small(150))
    assert saved.steps() == [100, 150]
    # Damage that the sizes show is seen without a restore.
    damage(data_file(saved, 150), "truncated")
    saved.save(300, small(300))
    assert saved.steps() == [100, 300]


def test_nothing_good_left(saved):
    old, new = data_file(saved, 100), data_file(saved, 200)
    damage(old, "flipped")
    damage(new, "emptied")
    with pytest.raises(CheckpointError, match=f"{new} .*{old} .*--workdir"):
        saved.restore(None, small(0))
    with pytest.raises(CheckpointError, match="step 5: .*5 does not exist"):
        saved.restore(5, small(0))


def test_killed_between_commit_and_manifest(saved, capfd, monkeypatch):
    def kill(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_manifest", kill)
        for step in (300, 200):  # a new step, and one that is being replaced
            pytest.raises(KeyboardInterrupt, saved.save, step, small(1))
    left = {"100", "200", "200.replaced", "300", LEDGER}
    assert set(os.listdir(saved.folder)) == left
    again = Checkpoints(saved.folder)
    assert again.steps() == [100, 200] and again.latest() == 200
    assert bits(again.restore(None, small(0))) == bits(small(200))
    assert "step 300 does not count: its save was cut short" in capfd.readouterr().err
    (saved.folder / "400.orbax-checkpoint-tmp" / "default").mkdir(parents=True)
    shutil.copytree(saved.folder / "100", saved.folder / "100.replaced")
    (saved.folder / "notes").mkdir()
    again.save(300, small(300))
    assert set(os.listdir(again.folder)) == {"200", "300", "notes", LEDGER}
    assert bits(again.restore(200, small(0))) == bits(small(200))


@pytest.mark.parametrize(
    "change, words",
    [
        ({"a": np.zeros((3, 64))}, r"a is float64\[64, 64\] .* float64\[3, 64\]"),
        ({"a": np.zeros((64, 64), np.float32)}, "float64.*and float32"),
        ({"extra": {"b": 1.0}}, r"extra.b is absent .* float64\[\] here"),
        ({"step": None}, r"step is int32\[\] .* and absent here"),
        ({"a": 1, "step": np.uint32(0)}, r"and int64.*\(1 more differ\)"),
    ],
)
def test_another_structure_is_one_sentence(saved, capfd, change, words):
    for step in (None, 200):
        with pytest.raises(CheckpointError, match=words) as caught:
            saved.restore(step, small(0) | change)
        (text,) = str(caught.value).splitlines()
        assert f"{saved.folder / '200'} does not fit" in text and "--workdir" in text
    assert capfd.readouterr() == ("", "")


def test_disk_full_keeps_the_earlier_steps(saved):
    code = f"""
        import resource, sys
        import numpy as np
        from gan_jax.checkpoint import CheckpointError, Checkpoints
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        noise = dict(a=np.random.default_rng(0).normal(size=100_000))
        for step in (300, 200):
            try:
                sys.exit(f"saved: {{Checkpoints({str(saved.folder)!r}).save(step, noise)}}")
            except CheckpointError as error:
                (text,) = str(error).splitlines()
            assert text.startswith(f"step {{step}} could not be saved in "), text
            assert "good steps: [100, 200]" in text, text
    """
    python(code)
    assert set(os.listdir(saved.folder)) == {"100", "200", LEDGER}
    assert bits(saved.restore(200, small(0))) == bits(small(200))


def test_kill_in_the_middle_of_saves(tmp_path):
    """Children of one process, which never starts jax's backend, save until they are killed."""
    code = f"""
        import glob, os, random, signal, time, warnings
        import numpy as np
        from gan_jax.checkpoint import Checkpoints
        warnings.simplefilter("ignore")  # of forking a process that has threads
        {textwrap.indent(inspect.getsource(small), 8 * " ").strip()}
        instants = random.Random(0)
        for trial in range(12):
            folder = {str(tmp_path)!r} + f"/{{trial}}"
            child = os.fork()
            for i in range(0 if child else 200):  # each step twice: one replaces
                Checkpoints(folder).save(i // 2, small(i // 2))
            child or os._exit(0)
            while not glob.glob(folder + "/*/manifest.json"):
                time.sleep(0.01)
            time.sleep(instants.uniform(0, 0.5))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    """
    python(code)
    leftovers = 0
    for trial in range(12):
        made = Checkpoints(tmp_path / str(trial))
        complete = {*map(str, made.steps()), LEDGER}
        leftovers += bool(set(os.listdir(made.folder)) - complete)
        assert not any(made.verify(each) for each in made.steps())
        assert bits(made.restore(None, small(0))) == bits(small(made.latest()))
        made.save(10_001, small(1))
        made.save(10_002, small(2))
        assert set(os.listdir(made.folder)) == {"10001", "10002", LEDGER}
    assert leftovers > 0  # some kills did hit a save


def test_a_checkpoint_that_is_older_than_a_number_takes_it_from_the_config(tmp_path):
    saved, old = Checkpoints(tmp_path), train_state()
    saved.save(0, old)
    numbers = {**old.hyper, "game_args": {"consensus": np.float32(2.0)}}
    target = replace(old, hyper=jax.tree.map(jnp.asarray, numbers))
    with pytest.raises(CheckpointError, match="game_args.consensus is absent"):
        saved.restore(0, target)
    found = saved.restore(0, target, numbers)
    assert float(found.hyper["game_args"]["consensus"]) == 2.0
    assert bits(replace(found, hyper=old.hyper)) == bits(old)
    known = {**numbers, "optim": {"gen": {"lr": np.float32(9.0)}}}
    kept = saved.restore(0, target, known).hyper["optim"]["gen"]["lr"]
    assert kept == np.float32(1e-4), "what is in the file counts"
    wrong = replace(target, memory={"lecam": jnp.zeros(3), "pool": jnp.zeros((0, 3))})
    with pytest.raises(CheckpointError, match="lecam"):
        saved.restore(0, wrong, numbers)
