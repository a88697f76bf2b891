"""Compiled programs are kept in the cache folder: quiet, bounded, shared, and worth nothing when they are damaged."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from gan_jax.compiled import Store, machine
from tests.test_train import RING, ROOT, outcome

WORDS = [
    *RING,
    "--config.batch_size=8",
    "--config.model.width=8",
    "--config.steps=2",
    "--config.log_every=1",
    "--config.monitor=false",
]
QUICK = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}  # of the compiler
REPORT = """
import sys, json, jax
count = {"hits": 0, "asked": 0}
def listen(event, **_):
    count["hits"] += event.endswith("compilation_cache/cache_hits")
    count["asked"] += event.endswith("compile_requests_use_cache")
jax.monitoring.register_event_listener(listen)
from gan_jax.cli import main
code = main(sys.argv[1:])
print(json.dumps(count))
sys.exit(code)
"""


def start(workdir, cache, *more, **env):
    """A run in a process of its own: what it counted of the cache, and what it said on stderr."""
    kept = {k: v for k, v in os.environ.items() if "CACHE" not in k}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", REPORT, *WORDS, *more]
        + [f"--workdir={workdir}"],
        cwd=ROOT,
        env={**kept, "XLA_FLAGS": "", **QUICK, "GAN_JAX_CACHE": str(cache), **env},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr.replace(str(workdir), "WORKDIR")


def files(cache):
    """What is kept, by name."""
    found = (cache / "compiled").rglob("*")
    return {path.name: path.read_bytes() for path in found if path.is_file()}


@pytest.fixture(scope="module")
def cold(tmp_path_factory):
    """A first run: its cache, what it counted and said, and what it left."""
    folder = tmp_path_factory.mktemp("cold")
    count, text = start(folder / "run", folder / "cache")
    assert count["asked"] > count["hits"] == 0
    return folder / "cache", count, text, outcome(folder / "run")


def test_a_second_start_compiles_nothing(cold, tmp_path):
    cache, count, text, left = cold
    kept = files(cache)
    again, said = start(tmp_path, cache)
    assert again["hits"] == again["asked"] == count["asked"]
    assert (outcome(tmp_path), said) == (left, text)
    assert files(cache) == kept


def test_damaged_programs_are_compiled_again_and_mended(cold, tmp_path):
    cache, _, text, left = cold
    kept = files(cache)
    for i, path in enumerate(sorted((cache / "compiled").rglob("*-*/*"))):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes([data, data[: len(data) // 2], b""][i % 3])
    again, said = start(tmp_path, cache)
    assert again["hits"] == 0
    assert (outcome(tmp_path), said) == (left, text)
    assert files(cache).keys() == kept.keys()
    again, _ = start(tmp_path, cache, "--config.steps=4")
    assert again["hits"]


def test_a_folder_that_cannot_be_written_is_no_cache(cold, tmp_path):
    (tmp_path / "file").touch()
    count, said = start(tmp_path / "run", tmp_path / "file")
    assert count["hits"] == 0
    assert (outcome(tmp_path / "run"), said) == (cold[3], cold[2])


def test_it_can_be_switched_off_and_the_users_own_place_is_kept(tmp_path):
    start(tmp_path / "a", tmp_path / "cache", JAX_ENABLE_COMPILATION_CACHE="0")
    own = tmp_path / "own"
    start(tmp_path / "b", tmp_path / "cache", JAX_COMPILATION_CACHE_DIR=str(own))
    assert not (tmp_path / "cache" / "compiled").exists()


def test_a_store_gives_back_what_it_was_given(tmp_path):
    store = Store(tmp_path / "deep" / "store")
    assert store.get("a") is None
    store.put("a", b"one")
    store.put("b", b"")
    assert (store.get("a"), store.get("b")) == (b"one", b"")
    store.put("a", b"two")
    assert store.get("a") == b"two"
    assert (tmp_path / "deep" / "store").stat().st_mode & 0o077 == 0


def test_a_store_forgets_what_was_not_used_for_longest(tmp_path):
    store = Store(tmp_path, limit=3 * (32 + 100))
    for turn, name in enumerate("abc"):
        store.put(name, bytes(100))
        os.utime(tmp_path / name, (turn, turn))
    store.get("a")
    store.put("d", bytes(100))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "c", "d"]
    store.put("e", bytes(300))
    assert [p.name for p in tmp_path.iterdir()] == ["e"]


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError("no room")

    store = Store(tmp_path)
    monkeypatch.setattr(os, "replace", full)
    store.put("a", b"one")
    assert store.get("a") is None and not list(tmp_path.iterdir())


def test_many_writers_share_a_folder(tmp_path):
    values = [bytes([i]) * 5000 for i in range(32)]

    def use(i):
        store = Store(tmp_path, limit=20 * 5032)
        store.put(f"{i % 8}", values[i])
        return [store.get(f"{j}") for j in range(8)]

    with ThreadPoolExecutor(8) as pool:
        found = [x for row in pool.map(use, range(32)) for x in row]
    assert set(found) <= {None, *values}
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_the_name_of_a_machine_tells_its_processor_and_cores(monkeypatch):
    assert machine() == machine()
    if hasattr(os, "sched_getaffinity"):
        here = machine()
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(1000))
        assert machine() != here


def test_the_start_loads_nothing_that_it_may_never_need():
    """Of what is slow to import: readers of data, the board, searches, plots, checkpoints, and rooms of SciPy."""
    late = "tensorflow_datasets tensorboardX optuna ray matplotlib orbax scipy.linalg scipy.special scipy.cluster"
    code = f"import sys, gan_jax.cli; sys.exit(str([m for m in {late.split()} if m in sys.modules] or ''))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stderr.strip() == "", done.stderr
