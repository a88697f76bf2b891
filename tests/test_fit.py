"""What fits: measured bytes, groups that are cut by them."""

import json

import jax
import pytest

from gan_jax import fit
from gan_jax.cli import main
from gan_jax.config import loaded
from gan_jax.fit import GIB, fitting, most_of
from gan_jax.job import assemble
from gan_jax.plan import cut
from gan_jax.population import BACKENDS, Population, stacked_shapes
from gan_jax.types import UserError
from tests.test_sweep import RING

SMALL = [word.removeprefix("--config.").split("=") for word in RING[1:]]


@pytest.fixture(scope="module")
def job():
    return assemble(loaded(RING[0].removeprefix("--config="), SMALL))


def taken(job, count, name):
    return Population(job, [job.config] * count, name).bytes()


def size(tree):
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))


@pytest.mark.parametrize("name", BACKENDS)
def test_bytes_hold_data_and_states_and_grow_with_members(job, name):
    few, many = (taken(job, n, name) for n in (4, 40))
    each = size(stacked_shapes(job, 36 // (4 if BACKENDS[name].spread else 1)))
    assert few > job.dataset.images.nbytes
    assert each < many - few < 20 * each


@pytest.mark.parametrize(("name", "step"), [("vmap", 1), ("devices_map", 4)])
def test_the_most_that_fit_are_found(job, name, step):
    room = taken(job, 20, name)
    most = most_of(job, [job.config] * 60, name, room)
    assert taken(job, most, name) <= room < taken(job, most + step, name)
    assert most_of(job, [job.config] * 20, name, room) == 20
    assert most_of(job, [job.config] * 21, name, room) <= 20


def test_a_group_fits_whichever_backend_is_taken(job, monkeypatch):
    monkeypatch.setattr(fit, "candidates", lambda asked, members: ["map", "vmap"])
    members = [job.config] * 60
    room = taken(job, 30, "map")
    found = fitting(job, members, "auto", room / GIB)
    each = [most_of(job, members, name, room) for name in ("map", "vmap")]
    assert found.most == min(each) < 60
    assert found.bytes == {n: taken(job, found.most, n) for n in ("map", "vmap")}


def test_one_that_does_not_fit_is_refused(job):
    with pytest.raises(UserError, match="lower batch_size"):
        most_of(job, [job.config] * 8, "map", 1000)


def test_a_group_is_cut_evenly():
    parts = [list(range(n)) for n in (10, 7, 1)]
    assert [[len(x) for x in cut(p, 4)] for p in parts] == [[4, 4, 2], [4, 3], [1]]
    assert cut(list(range(10)), 0) == [list(range(10))]
    assert sum(cut(list(range(10)), 3), []) == list(range(10))


def test_a_sweep_is_cut_to_the_memory_and_keeps_its_groups(job, tmp_path, capsys):
    room = taken(job, 3, "map") / GIB
    words = ["sweep", *RING, "--backend=map", "--sweep=seed=0..4", "--config.steps=4"]
    words.append(f"--workdir={tmp_path / 's'}")
    assert main([*words, f"--memory={room}", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "5 members in 2 group(s)" in said and "group 1: 2 members (0003" in said
    assert f"{taken(job, 3, 'map') / 2**20:.1f} MiB on each device (map)" in said
    assert not (tmp_path / "s").exists()
    assert main([*words, f"--memory={room}"]) == 0
    plan = json.loads((tmp_path / "s/sweep.json").read_text())
    assert [group["members"] for group in plan["groups"]] == [3, 2]
    assert main([*words, "--config.steps=8"]) == 0, "resumed with more memory"
    again = json.loads((tmp_path / "s/sweep.json").read_text())
    assert again["groups"] == plan["groups"] and again["members"] == plan["members"]


def test_a_config_that_no_evaluation_suits_is_refused_before_work(tmp_path, capsys):
    words = ["--sweep=seed=0,1", "--config.eval.metrics=stacked"]
    assert main(["sweep", *RING, *words, f"--workdir={tmp_path / 's'}"]) == 2
    assert "'stacked' is not for ring" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()
