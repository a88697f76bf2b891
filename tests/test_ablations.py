"""The ablations: plans that can be trained, statistics by closed forms, measures by hand, pages that agree with results."""

import re
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy
from matplotlib.figure import Figure

from experiments.a02_norm_momentum.norms import running
from experiments.a15_latent_walk import plan as latent_walk
from experiments.ablation import collect, page
from experiments.ablation.__main__ import DOCS
from experiments.ablation.catalogue import VERDICT, Experiment, experiments, named
from experiments.ablation.estimate import (
    NO,
    OPEN,
    YES,
    Interval,
    difference,
    effect,
    mean,
    outcome,
    verdict,
)
from experiments.ablation.figure import draw, panel
from experiments.ablation.measure import of_classes, of_curves, of_points
from experiments.ablation.unit import FORMS, SEEDS, Ablation, Claim, seeded, unit
from gan_jax.cli import main
from gan_jax.combinations import check_data
from gan_jax.config import loaded, sweep_of
from gan_jax.plan import groups_of, members_of
from gan_jax.settings import settings_of
from gan_jax.types import UserError

ALL = experiments()
COUNTS = {  # settings, and programs that train them
    "a01": (12, 8),
    "a02": (6, 2),
    "a03": (4, 4),
    "a04": (7, 5),
    "a05": (5, 3),
    "a06": (4, 2),
    "a07": (9, 7),
    "a08": (6, 5),
    "a09": (9, 9),
    "a10": (4, 3),
    "a11": (3, 3),
    "a12": (9, 1),
    "a13": (18, 5),
    "a14": (8, 8),
    "a15": (2, 2),
    "a16": (4, 4),
}


def test_all_sixteen_are_there():
    assert list(ALL) == list(COUNTS) == [f"a{i:02d}" for i in range(1, 17)]


# -- plans


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ALL)
def test_a_plan_is_the_stated_settings_by_seeds_in_the_stated_groups(name, form):
    one = ALL[name]
    spec = f"{one.folder}/plan.py:{form}"
    config = loaded(spec, [])
    settings = settings_of(sweep_of(spec))
    named_ones = one.plan.settings(config)
    seeds = collect.seeds_of(settings)
    members = members_of(config, settings[:: len(seeds)])  # validates each
    assert len(seeds) >= SEEDS == 5
    assert (len(named_ones), len(groups_of(members))) == COUNTS[name]
    assert len(settings) == len(named_ones) * len(seeds)
    for fields, of_setting in zip(
        named_ones.values(), np.array(settings).reshape(-1, len(seeds)), strict=True
    ):
        assert [{**fields, "seed": s} for s in seeds] == list(of_setting)
    for member in members:
        points = member.config.data.source in ("ring", "grid")
        check_data(member.config, (2,) if points else (28, 28, 1), 8 if points else 10)
    assert config.checkpoint_every == config.sample_every == config.eval.every == 0


@pytest.mark.parametrize("name", ALL)
def test_shorter_forms_are_less_work_on_the_same_settings(name):
    one = ALL[name]
    full, long, quick = (one.plan.get_config(form) for form in FORMS)
    assert list(FORMS) == ["full", "long", "quick"]
    assert (
        quick.steps < long.steps <= full.steps and long.model.width <= full.model.width
    )
    names = [list(one.plan.settings(config)) for config in (full, long, quick)]
    assert names[0] == names[1] == names[2]
    with pytest.raises(UserError, match="full, long, quick"):
        loaded(f"{one.folder}/plan.py:brief", [])


@pytest.mark.parametrize("name", ALL)
def test_claims_are_of_settings_and_measures_that_there_are(name):
    one, about = ALL[name], ALL[name].about
    settings = list(one.plan.settings(one.plan.get_config()))
    if name == "a15":
        settings = [f"{s}, sigma {x}" for s in settings for x in latent_walk.SIGMAS]
    known = set(about.meaning) | set(page.MEANING)
    assert about.reference in settings and set(about.measures) <= known
    for claim in about.claims:
        than = {claim.than} if isinstance(claim.than, str) else set()
        assert {claim.setting} | than <= set(settings)
        assert claim.measure in about.measures and claim.sign in (1, -1)


def test_frequencies_have_as_many_updates_of_d():
    plan = ALL["a03"].plan
    config = plan.get_config()
    updates = {
        name: (fields["n_disc"] + config.trick.one_more_disc) * fields["steps"]
        for name, fields in plan.settings(config).items()
    }
    *equal, longer = updates.values()
    assert equal == pytest.approx([2 * config.steps] * 3, rel=2e-3)
    assert longer == 6 * config.steps


def test_the_init_ablation_crosses_init_norm_and_loss():
    plan = ALL["a01"].plan
    fields = plan.settings(plan.get_config()).values()
    seen = {
        (f["loss"], f["model.norm"], f["model.init"], f.get("model.init_std"))
        for f in fields
    }
    assert len(seen) == 2 * 2 * 3


def test_a_plan_without_an_argument_is_the_full_one(tmp_path):
    path = tmp_path / "plan.py"
    path.write_text(
        "def get_sweep(form='full'):\n    return f'seed={len(form)}'\n"
        "def get_config():\n    pass\n"
    )
    assert sweep_of(str(path)) == sweep_of(f"{path}:smoke") == "seed=4"
    assert sweep_of(f"{path}:quick") == sweep_of(f"{path}:smoke,quick") == "seed=5"


def test_a_name_that_is_not_there_is_refused():
    assert [one.name for one in named("a03,a05")] == ["a03", "a05"]
    with pytest.raises(UserError, match="a17"):
        named("a17")


# -- statistics


def test_a_mean_has_students_interval():
    """t(0.975, 4) = 2.776445 and t(0.975, 1) = 12.706205, from tables."""
    assert mean([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(
        (3.0, 2.776445 * np.sqrt(2.5 / 5)), rel=1e-6
    )
    assert mean([0.0, 2.0]) == pytest.approx((1.0, 12.706205), rel=1e-6)
    assert mean([7.0]) == (7.0, None)


def test_a_difference_has_welchs_interval():
    """Equal sizes and variances: Student's of 2 n - 2 degrees; a constant side: that of the other one alone."""
    a, b = [1.0, 2.0, 3.0, 4.0, 5.0], [11.0, 12.0, 13.0, 14.0, 15.0]
    apart = difference(a, b)
    assert apart == pytest.approx((-10.0, 2.306004 * np.sqrt(2 * 2.5 / 5)), rel=1e-6)
    assert difference(a, [3.0] * 5) == pytest.approx((0.0, mean(a).half), rel=1e-6)
    assert difference([1.0, 1.0], [2.0, 2.0]) == (-1.0, 0.0)
    assert difference(a, [1.0]) == (2.0, None)


def test_welchs_degrees_of_freedom_by_hand():
    """Three and five values whose means have the variance 1 each: v = 4 / (1/2 + 1/4)."""
    a = np.sqrt(3) * np.array([-1.0, 0.0, 1.0])
    b = np.sqrt(5) * np.array([-1.0, -1.0, 0.0, 1.0, 1.0])
    t = scipy.special.stdtrit(16 / 3, 0.975)
    assert 2.446912 < t < 2.570582  # of 6 and of 5 degrees, from tables
    assert difference(a, b) == pytest.approx((0.0, t * np.sqrt(2)), abs=1e-9)


def test_welchs_interval_covers_in_95_of_100():
    draws = np.random.default_rng(1).normal(0, 1, (2000, 8)) * ([1] * 5 + [4] * 3)
    inside = [difference(x[:5], x[5:]).against(0.0) == 0 for x in draws]
    assert 0.93 < np.mean(inside) < 0.97


def test_an_interval_is_on_a_side_or_not():
    assert Interval(2.0, 1.0).against(0.5) == 1
    assert Interval(2.0, 1.0).against(4.0) == -1
    assert Interval(2.0, 1.0).against(1.0) == 0
    assert Interval(2.0, None).against(0.0) == 0


VALUES = {
    "a": {"fd": [1.0, 1.1, 0.9]},
    "b": {"fd": [5.0, 5.1, 4.9]},
    "c": {"fd": [1.0, 9.0, 5.0]},
}


@pytest.mark.parametrize(
    ("setting", "sign", "than", "found"),
    [
        ("a", -1, "b", YES),
        ("a", 1, "b", NO),
        ("b", 1, "a", YES),
        ("a", -1, "c", OPEN),
        ("a", -1, 2.0, YES),
        ("a", 1, 2.0, NO),
        ("c", 1, 2.0, OPEN),
    ],
)
def test_a_claim_is_borne_out_by_its_interval(setting, sign, than, found):
    claim = Claim("", "fd", setting, sign, than)
    assert outcome(claim, VALUES) == found
    other = 2.0 if than == 2.0 else np.mean(VALUES[than]["fd"])
    assert effect(claim, VALUES).mean == pytest.approx(
        np.mean(VALUES[setting]["fd"]) - other
    )


@pytest.mark.parametrize(
    ("outcomes", "words"),
    [
        ([YES, YES], "Holds"),
        ([YES, OPEN], "Holds only if"),
        ([YES, NO], "Holds only if"),
        ([NO, OPEN], "Does not hold"),
        ([OPEN, OPEN], "Undecided"),
    ],
)
def test_a_verdict_is_what_the_outcomes_allow(outcomes, words):
    assert verdict(outcomes) == words


# -- measures


def test_classes_of_samples_by_hand():
    sure = np.eye(4)[[0] * 98 + [1] * 1 + [2] * 1]
    half = np.full((100, 4), 0.25)
    half[:, 3] += 0.01
    found = of_classes(np.concatenate([sure, half]))
    shares = np.array([98, 1, 1, 100]) / 200
    assert found["digits"] == 2
    assert found["confident"] == 0.5
    assert found["entropy"] == pytest.approx(-(shares * np.log(shares)).sum())
    assert of_classes(np.eye(4)[[1] * 10])["entropy"] == 0.0


def curves(**columns):
    steps = [20 * (i + 1) for i in range(50)]
    return {"step": steps} | columns


def test_curves_of_a_run_by_hand():
    x = np.arange(50.0)
    found = of_curves(
        curves(**{"loss/disc": x, "disc/real": 1 - x / 100, "disc/fake": x / 100})
    )
    assert found["early"] == np.mean(x[:25])  # up to iteration 500
    assert found["loss_disc"] == np.mean(x[40:])
    assert found["real_most"] == 1.0
    assert found["gap"] == pytest.approx(np.mean(1 - x[40:] / 50))
    assert not {"grad_gen", "accuracy"} & set(found)


def test_when_d_has_won():
    accuracy = np.full(50, 0.5)
    assert of_curves(curves(**{"disc/accuracy": accuracy}))["won"] == 1000
    accuracy[10] = 1.0  # one lucky batch is no victory
    assert of_curves(curves(**{"disc/accuracy": accuracy}))["won"] == 1000
    accuracy[20:26] = 1.0
    assert of_curves(curves(**{"disc/accuracy": accuracy}))["won"] == 20 * 25


def test_running_norm_is_a_constant_affine_map_to_the_gradient():
    x = jnp.asarray(np.random.default_rng(0).normal(3, 2, (64, 4)), jnp.float32)
    layer = running(0.9, True, jnp.float32, True)
    variables = layer.init(jax.random.key(0), x)

    def apply(x):
        return layer.apply(variables, x, mutable=["batch_stats"])

    y, seen = apply(x)
    m, v = (seen["batch_stats"][n] for n in ("mean", "var"))
    np.testing.assert_allclose(m, 0.1 * x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(v, 0.9 + 0.1 * x.var(0), rtol=1e-5)
    np.testing.assert_allclose(y, (x - m) / np.sqrt(v + 1e-5), rtol=1e-4, atol=1e-5)
    slope = jax.grad(lambda x: apply(x)[0].sum())(x)
    each = np.broadcast_to(1 / np.sqrt(v + 1e-5), x.shape)
    np.testing.assert_allclose(slope, each, rtol=1e-5)
    still = running(0.9, False, jnp.float32, True).apply({**variables, **seen}, x)
    np.testing.assert_allclose(still, y, rtol=1e-5, atol=1e-6)


def test_a_walk_that_switches_by_sign_is_told_from_a_straight_one():
    straight = latent_walk.apart(latent_walk.VALUES[:, None])
    direction = np.random.default_rng(0).normal(0, 1, (1, 30))
    line = latent_walk.VALUES[:, None] * direction
    assert latent_walk.apart(line) == pytest.approx(straight)
    switched = np.tanh(10 * latent_walk.VALUES)[:, None] * direction
    assert latent_walk.apart(switched) > 3 * straight


# -- from a sweep to its page

PLAN = """
from experiments.ablation.measure import of_points
from experiments.ablation.unit import Ablation, Claim, seeded, unit

ABLATION = Ablation(
    question="Which rate?",
    claim="no rate learns nothing",
    source="nobody",
    reference="some",
    measures=("modes", "grad_gen"),
    claims=(
        Claim("it has modes", "modes", "some", 1, -1.0),
        Claim("without a rate it has not", "modes", "none", -1, -1.0),
    ),
    read=of_points,
)


def settings(config):
    return {
        "some": {},
        "none": {"optim.gen.lr": 0.0, "optim.disc.lr": 0.0},
        "slow": {"optim.gen.lr": 1e-6},
    }


def get_config(form="full"):
    config = unit(form)
    config.steps = {"full": 12, "long": 8, "quick": 6}[form]
    config.batch_size = config.model.width = 4
    config.log_every = 3
    config.model.name = "mlp"
    config.model.norm = "none"
    config.data.source = "ring"
    return config


def get_sweep(form="full"):
    return seeded(settings(get_config(form)), 2)
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """(experiment with its results, the folder of its sweep)."""
    folder = tmp_path_factory.mktemp("a00_rates")
    (folder / "plan.py").write_text(PLAN)
    plan = SimpleNamespace(__name__="plan")
    exec(PLAN, vars(plan))
    words = [f"--config={folder}/plan.py:quick", f"--workdir={folder}/sweep"]
    assert main(["sweep", *words, "--backend=map"]) == 0
    one = Experiment("a00", folder, plan)
    collect.write(folder / "results.csv", collect.rows_of(plan, folder / "sweep"))
    return one, folder / "sweep"


def test_rows_are_the_members_in_the_plans_order(finished):
    one, _ = finished
    rows = one.rows()
    assert [(r["setting"], r["seed"]) for r in rows] == [
        (name, seed) for name in ("some", "none", "slow") for seed in (0.0, 1.0)
    ]
    assert {r["form"] for r in rows} == {"quick"}
    assert all(0 <= r["modes"] <= 8 and r["diverged"] == 0 for r in rows)
    assert len({r["grad_gen"] for r in rows}) == 6


def test_a_sweep_that_is_not_the_plans_is_refused(finished, tmp_path):
    one, sweep = finished
    other = SimpleNamespace(**vars(one.plan))
    other.get_config = lambda form: unit(form)
    with pytest.raises(UserError, match="another config than plan"):
        collect.rows_of(other, sweep)
    named_twice = SimpleNamespace(**vars(one.plan))
    named_twice.get_sweep = lambda form: one.plan.get_sweep(form)[:4]
    with pytest.raises(UserError, match="another sweep"):
        collect.rows_of(named_twice, sweep)


def test_a_page_shows_each_setting_and_the_claims(finished):
    one, _ = finished
    text = page.readme(one)
    assert "quick form (6 iterations, width 4, batch 4, 3 settings x 2 seeds)" in text
    assert re.search(r"# full: 12 iterations.*2 seeds\n", text)
    assert re.search(r"# quick: .*: measured below\n", text)
    values = collect.values_of(one.rows())
    for name in ("some", "none", "slow"):
        shown = page.written(mean(values[name]["grad_gen"]))
        assert re.search(rf"^\| {name} \|.*{re.escape(shown)}( \*)? \|$", text, re.M)
    assert one.allowed() in ("Holds", "Holds only if")
    assert text.endswith(f"{VERDICT}Not run yet.\n")


def test_intervals_as_a_table_has_them():
    assert page.written(Interval(1234.5, 6.789), "+") == "+1,234 +- 6.79"
    assert page.written(Interval(-0.5, 1e-9), "+") == "-0.5 +- 0"
    assert page.written(Interval(0.0, None)) == "0"


def test_the_words_of_a_verdict_are_kept(finished):
    one, _ = finished
    one.readme.write_text(
        page.readme(one).replace("Not run yet.\n", "Holds. So.\n\nMore.\n")
    )
    text = page.readme(one)
    assert text == one.readme.read_text()
    assert one.verdict() == "Holds. So.\n\nMore."
    assert page.line(one)[3] == "Holds."
    one.readme.unlink()


def test_a_figure_has_every_setting_and_is_the_same_each_time(finished, tmp_path):
    one, _ = finished
    values = collect.values_of(one.rows())
    for name in ("first.svg", "second.svg"):
        draw(tmp_path / name, values, one.about.measures)
    first, second = (tmp_path / n for n in ("first.svg", "second.svg"))
    assert first.read_bytes() == second.read_bytes()
    assert all(word in first.read_text() for word in (*values, *one.about.measures))


@pytest.mark.parametrize(
    ("wide", "scale"), [([1e-3, 1e3], "log"), ([-1.0, 1e3], "linear")]
)
def test_a_panel_is_logarithmic_for_wide_positive_values(wide, scale):
    axes = Figure().add_subplot()
    panel(axes, [wide, [2.0, 3.0]])
    assert axes.get_xscale() == scale
    assert not any("$" in axes.xaxis.get_major_formatter()(x) for x in (1.0, 10.0))


def test_an_experiment_that_was_not_run_says_so(tmp_path):
    about = Ablation("Q?", "c", "s", "a", ("fd",), (), of_points)
    plan = SimpleNamespace(
        ABLATION=about,
        get_config=unit,
        settings=lambda config: {"a": {}},
        get_sweep=lambda form: seeded({"a": {}}),
    )
    one = Experiment("a99", tmp_path, plan)
    text = page.readme(one)
    assert one.allowed() == "Not run yet" and "measured below" not in text
    assert "**Measured**" not in text


# -- the pages that are here


@pytest.mark.parametrize("name", ALL)
def test_a_readme_is_what_its_plan_and_results_say(name):
    one = ALL[name]
    assert one.readme.read_text() == page.readme(one)
    assert re.match(rf"{one.allowed()}\b", one.verdict())


def test_the_summary_is_what_plans_and_results_say():
    text = (DOCS / "ablations.md").read_text()
    assert text == page.summary(list(ALL.values()))
    rows = [x for x in text.splitlines() if x.startswith("| [A")]
    assert len(rows) == len(ALL) and all(x.endswith(" |") for x in rows)


def test_every_result_has_its_figure_and_every_figure_its_result():
    there = {path.stem for path in (DOCS / "images" / "ablations").glob("*.svg")}
    assert there == {name for name, one in ALL.items() if one.rows()}
