"""What a sweep asks for: products, lists side by side, ranges, draws, tables; and the groups that follow."""

import numpy as np
import pytest

from gan_jax.config import ConfigError, base
from gan_jax.plan import cut, groups_of, members_of
from gan_jax.settings import settings_of


def test_a_product_in_order():
    found = settings_of("optim.disc.lr=1e-4,3e-4;penalty.r1=0.1,1,10;seed=0..9")
    assert len(found) == 60
    assert found[0] == {"optim.disc.lr": 1e-4, "penalty.r1": 0.1, "seed": 0}
    assert found[1]["seed"] == 1 and found[-1] == {
        "optim.disc.lr": 3e-4,
        "penalty.r1": 10.0,
        "seed": 9,
    }
    assert [type(x) for x in found[0].values()] == [float, float, int]


def test_lists_side_by_side():
    found = settings_of("loss=hinge,rp & penalty.r1=0,1;seed=3,4")
    assert found == [
        {"loss": loss, "penalty.r1": r1, "seed": seed}
        for loss, r1 in (("hinge", 0.0), ("rp", 1.0))
        for seed in (3, 4)
    ]


def test_draws_are_seeded_differ_by_field_and_fill_their_range():
    text = "optim.gen.lr=log:1e-5:1e-1:400 & optim.disc.lr=log:1e-5:1e-1:400"
    found = settings_of(text)
    assert found == settings_of(text)
    gen, disc = (
        np.log10([x[f"optim.{name}.lr"] for x in found]) for name in ("gen", "disc")
    )
    for logs in (gen, disc):
        assert logs.min() >= -5 and logs.max() <= -1
        assert abs(logs.mean() + 3) < 4 * (4 / 12**0.5) / 20
    assert abs(np.corrcoef(gen, disc)[0, 1]) < 0.2
    uniform = [
        x["model.dropout"] for x in settings_of("model.dropout=uniform:0:0.5:50")
    ]
    assert 0 <= min(uniform) < 0.1 and 0.4 < max(uniform) <= 0.5


def test_a_table_and_a_list_of_dicts(tmp_path):
    path = tmp_path / "settings.csv"
    path.write_text(
        "optim.gen.lr, loss,model.gen_spectral\n1e-3,hinge,true\n2e-3,rp,false\n"
    )
    rows = [
        {"optim.gen.lr": 1e-3, "loss": "hinge", "model.gen_spectral": True},
        {"optim.gen.lr": 2e-3, "loss": "rp", "model.gen_spectral": False},
    ]
    assert settings_of(str(path)) == rows == settings_of(rows)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "no settings"),
        ([], "no settings"),
        ("optim.disc.lrr=1", "did you mean 'optim.disc.lr'"),
        ("seed=a", "expected a whole number"),
        ("seed=-1", "seed is -1"),
        ("loss=hing", "did you mean 'hinge'"),
        ("optim.gen.lr=nan", "must be finite"),
        ("seed=0,0", "seed=0 twice"),
        ("seed=0;seed=1", "names seed twice"),
        ("seed=0 & seed=1", "names seed twice"),
        ("loss=hinge,rp & seed=1", "loss has 2, seed has 1"),
        ("optim.gen.lr=log:1:0.1:3", "LOW must be below HIGH"),
        ("optim.gen.lr=log:0:1:3", "above 0 for log"),
        ("optim.gen.lr=log:1:2", "is written log:LOW:HIGH:N"),
        ("seed", "is written FIELD=VALUES"),
        ("seed=0..1000;batch_size=1..1000", "1,001,000 settings; at most"),
        ("nothing.csv", "cannot read the settings in nothing.csv"),
        ([{"seed": "x"}], "expected a whole number"),
        ([{"seed": 1.5}], "expected int"),
    ],
)
def test_what_cannot_be_is_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        settings_of(given)


@pytest.mark.parametrize(
    ("text", "message"),
    [("seed\n", "no settings"), ("seed,loss\n1\n", "line 2 has 1 values for 2")],
)
def test_a_table_that_is_none(text, message, tmp_path):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(ConfigError, match=message):
        settings_of(str(tmp_path / "x.csv"))


def sizes(text, **changes):
    config = base()
    for name, value in changes.items():
        config[name] = value
    return [len(g) for g in groups_of(members_of(config, settings_of(text)))]


def test_numbers_and_seeds_share_a_program_and_structure_does_not():
    numbers = (
        "optim.disc.lr=1e-4,3e-4;model.init_std=0.02,0.2;ema_decay=0,0.9;seed=0..4"
    )
    assert sizes(numbers) == [40]
    assert sizes(numbers + ";loss=hinge,rp") == [40, 40]
    assert sizes("penalty.r1=0,0.1,1") == [1, 2], "0 is absent, which is structure"
    assert sizes("steps=10,20") == [1, 1]
    assert sizes("data.source=ring,grid;seed=0..2") == [3, 3]


def test_groups_keep_the_order_and_the_limit():
    members = members_of(base(), settings_of("loss=hinge,rp;seed=0..4"))
    groups = [part for group in groups_of(members) for part in cut(group, 2)]
    assert [len(g) for g in groups] == [2, 2, 1, 2, 2, 1]
    assert [m.name for g in groups for m in g] == [m.name for m in members]
    assert members[7].config.seed == 2 and members[7].config.loss == "rp"


def test_a_setting_that_cannot_be_trained_is_named():
    with pytest.raises(ConfigError, match="setting loss=began"):
        members_of(base(), settings_of("loss=hinge,began"))
