"""What fits: measured bytes, groups that are cut by them."""

import json
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import pytest

from gan_jax import fit
from gan_jax.cli import main
from gan_jax.config import loaded
from gan_jax.fit import GIB, fitting, most_of
from gan_jax.job import assemble
from gan_jax.plan import Member, cut
from gan_jax.population import BACKENDS, Population, stacked_shapes
from gan_jax.types import UserError
from tests.test_sweep import RING

SMALL = [tuple(word.removeprefix("--config.").split("=")) for word in RING[1:]]
SMALL.append(("monitor", "false"))


@pytest.fixture(scope="module")
def job():
    return assemble(loaded(RING[0].removeprefix("--config="), SMALL))


def taken(job, count, name):
    return Population(job, [job.config] * count, name).bytes()


def size(tree):
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))


@pytest.mark.parametrize("name", ["vmap", "devices_map"])
def test_bytes_hold_data_and_states_and_grow_with_members(job, name):
    few, many = (taken(job, n, name) for n in (4, 40))
    each = size(stacked_shapes(job, 36 // (4 if BACKENDS[name].spread else 1)))
    assert few > job.dataset.images.nbytes
    assert each < many - few < 20 * each


@pytest.mark.parametrize("room", [1010, 1019, 1190, 1200, 1206, 1207, 1300, 9999])
@pytest.mark.parametrize("devices", [1, 4])
def test_the_most_that_fit_are_found(devices, room):
    asked = []

    def taken(count):
        """1000, 10 for each member on a device, and 7 more from the 20th on."""
        asked.append(count)
        here = -(-count // devices)
        return 1000 + 10 * here + 7 * (here >= 20)

    best = max(n for n in range(devices, 201, devices) if taken(n) <= room)
    asked.clear()
    found = most_of(taken, 200, devices, room)
    assert best - devices <= found <= best and taken(found) <= room
    assert len(set(asked)) <= 4, "each is a compilation"


def test_one_that_does_not_fit_is_refused():
    with pytest.raises(UserError, match="lower batch_size"):
        most_of(lambda count: 1000 + count, 8, 1, 1000)


def test_a_group_fits_whichever_backend_is_taken(job, monkeypatch):
    class Told(NamedTuple):
        job: Any
        members: list
        backend: str

        def bytes(self):
            each = 30 if self.backend == "devices_vmap" else 10
            return 1000 + each * -(-len(self.members) // 4)

    monkeypatch.setattr(fit, "Population", Told)
    found = fitting(job, [job.config] * 200, "auto", 1180.5 / GIB)
    assert found == fit.Fit(24, {"devices_map": 1060, "devices_vmap": 1180})


def test_a_group_is_cut_evenly(job):
    group = [Member(str(i), {}, job.config) for i in range(10)]
    for size, most, parts in ((10, 4, [4, 4, 2]), (7, 4, [4, 3]), (1, 4, [1])):
        assert [len(part) for part in cut(group[:size], most)] == parts
    assert cut(group, 0) == [group]
    assert [one.name for part in cut(group, 3) for one in part] == list("0123456789")


def test_a_sweep_is_cut_to_the_memory_and_keeps_its_groups(job, tmp_path, capsys):
    room = taken(job, 2, "map") / GIB
    words = ["sweep", *RING, "--backend=map", "--sweep=seed=0..3", "--config.steps=4"]
    words.append("--config.monitor=false")
    words.append(f"--workdir={tmp_path / 's'}")
    assert main([*words, f"--memory={room}", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "4 members in 2 group(s)" in said and "group 1: 2 members (0002" in said
    assert f"{taken(job, 2, 'map') / 2**20:.1f} MiB on each device (map)" in said
    assert not (tmp_path / "s").exists()
    assert main([*words, f"--memory={room}"]) == 0
    plan = json.loads((tmp_path / "s/sweep.json").read_text())
    assert [group["members"] for group in plan["groups"]] == [2, 2]
    assert main([*words, "--config.steps=8"]) == 0, "resumed with more memory"
    again = json.loads((tmp_path / "s/sweep.json").read_text())
    assert again["groups"] == plan["groups"] and again["members"] == plan["members"]


def test_a_config_that_no_evaluation_suits_is_refused_before_work(tmp_path, capsys):
    words = ["--sweep=seed=0,1", "--config.eval.metrics=stacked"]
    assert main(["sweep", *RING, *words, f"--workdir={tmp_path / 's'}"]) == 2
    assert "'stacked' is not for ring" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


def test_what_the_monitors_take_counts(job):
    on = job.config.copy_and_resolve_references()
    on.monitor = True
    assert taken(replace(job, config=on), 40, "vmap") > taken(job, 40, "vmap")
