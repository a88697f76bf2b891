"""The doctor on made-up series: each finding, what only looks like it, and what must not change the answer."""

import math
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import config as configs
from gan_jax.doctor import FINDINGS, FIRST, HEALTHY, HOLD, SPAN, Doctor, diagnose
from gan_jax.losses import LOSSES
from gan_jax.remedies import at_least, instead, remedy, times
from gan_jax.scales import SCALES, Scale, scale_of
from gan_jax.symptoms import LIMITS, Case, View, oscillation, period, swing

ROOT = Path(__file__).parents[1]
RING = f"--config={ROOT}/configs/ring_plain.py"
BEGIN, END = 2000, 6000
NS = {"loss": "non_saturating"}
WELL = {
    "loss/disc": 1.2,
    "loss/gen": 0.9,
    "disc/accuracy": 0.65,
    "disc/real": 0.6,
    "disc/fake": 0.4,
    "logit/real": 0.6,
    "logit/fake": -0.6,
    "logit/held_out": 0.5,
    "grad/disc": 1.0,
    "grad/gen": 1.0,
    "diversity/ratio": 0.95,
    "diversity/nearest": 0.95,
    "diversity/duplicates": 0.0,
    "dead/gen": 0.05,
    "dead/disc": 0.0,
    "weight/gen_first": 4.0,
    "weight/disc_first": 3.0,
    "update/gen": 0.003,
    "game/rotation": 0.6,
}


def wave(step, size=0.3):
    return 0.55 + size * math.sin(step / 60)


def stirred(step, size=0.45):
    return 0.75 + size * math.sin(step / 60)


def explosion(step):
    return 1.01 ** (step - BEGIN)


# finding -> (config, what is wrong from BEGIN on, the same on the other side of one threshold)
CASES = {
    "divergence": (NS, {"grad/disc": explosion}, {"grad/disc": 30.0}),
    "first_layer_dead": (NS, {"dead/gen": 0.97}, {"dead/gen": 0.8}),
    "first_layer_exploding": (
        NS,
        {"weight/gen_first": 24.0},
        {"weight/gen_first": 12.0},
    ),
    "vanishing_generator_gradient": (
        {"loss": "saturating"},
        {"loss/gen": -0.003},
        {"loss/gen": -0.03},
    ),
    "discriminator_wins": (
        NS,
        {"loss/disc": 0.01, "disc/accuracy": 1.0},
        {"loss/disc": 0.3, "disc/accuracy": 1.0},
    ),
    "generator_wins": (
        NS,
        {"loss/disc": 3.0, "disc/accuracy": 0.2},
        {"loss/disc": 1.38, "disc/accuracy": 0.5},
    ),
    "mode_collapse": (NS, {"diversity/ratio": 0.05}, {"diversity/ratio": 0.8}),
    "partial_mode_collapse": (NS, {"diversity/ratio": 0.4}, {"diversity/ratio": 0.7}),
    "oscillation": (
        NS,
        {"disc/accuracy": wave, "diversity/ratio": stirred},
        {"disc/accuracy": wave, "diversity/ratio": lambda step: stirred(step, 0.1)},
    ),
    "discriminator_overfit": (
        NS,
        {"logit/held_out": -0.3, "disc/accuracy": 0.9},
        {"logit/held_out": 0.3, "disc/accuracy": 0.9},
    ),
}


def series(
    ill=None,
    config=NS,
    steps=range(100, END + 1, 100),
    begin=BEGIN,
    until=END,
    noise=0.03,
):
    """Columns of a healthy run in which `ill` columns are something else from `begin` to `until`."""
    steps, draw = list(steps), np.random.default_rng(0)
    table = {"step": steps}
    start = WELL | ({"loss/gen": -0.5} if config["loss"] == "saturating" else {})
    for name, value in (start | (ill or {})).items():
        well = start[name]
        table[name] = [
            (value(s) if callable(value) else value) if begin <= s <= until else well
            for s in steps
        ]
        jitter = 1 + noise * draw.normal(size=len(steps))
        table[name] = (np.array(table[name]) * jitter).tolist()
    table["disc/accuracy"] = np.minimum(table["disc/accuracy"], 1.0).tolist()
    return table


def rows(table):
    return [
        dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)
    ]


def names(episodes):
    return [one.found.finding for one in episodes]


def ills(table, config=NS, **more):
    return [n for n in names(diagnose(table, config=config, **more)) if n != HEALTHY]


def test_every_rule_has_a_case():
    assert {name for name, row in FINDINGS.items() if row.rule} == set(CASES)


def test_a_healthy_run_is_said_to_be_once():
    (one,) = diagnose(series(), config=NS)
    assert one.found.finding == HEALTHY and one.end is None
    assert one.found.step == FIRST + 100 * (HOLD - 1)


@pytest.mark.parametrize("finding", CASES)
def test_a_finding(finding):
    config, ill, near = CASES[finding]
    well, found = diagnose(series(ill, config), config=config)
    assert names([well, found]) == [HEALTHY, finding]
    assert well.end == found.found.step and found.end is None
    assert BEGIN < found.found.step <= BEGIN / (1 - SPAN) * 1.5
    assert set(found.found.evidence) & set(FINDINGS[finding].evidence)
    assert all(math.isfinite(x) for x in found.found.evidence.values())
    assert ills(series(near, config), config) == []


@pytest.mark.parametrize("finding", CASES)
def test_a_finding_ends(finding):
    config, ill, _ = CASES[finding]
    first, found, again = diagnose(series(ill, config, until=4000), config=config)
    assert names([first, found, again]) == [HEALTHY, finding, HEALTHY]
    assert 4000 < found.end == again.found.step <= END


@pytest.mark.parametrize("finding", CASES)
def test_a_moment_is_no_finding(finding):
    config, ill, _ = CASES[finding]
    assert ills(series(ill, config, until=BEGIN + 100), config) == []


@pytest.mark.parametrize("finding", CASES)
def test_neither_the_length_nor_the_cadence_changes_what_is_found(finding):
    config, ill, _ = CASES[finding]

    def stretched(value):
        return (lambda s: value(s / 7)) if callable(value) else value

    longer = {name: stretched(value) for name, value in ill.items()}
    begun = diagnose(series(ill, config), config=config)[1].found.step
    steps = range(700, 7 * END + 1, 700)
    slow = series(longer, config, steps=steps, begin=7 * BEGIN, until=7 * END)
    found = diagnose(slow, config=config)
    assert names(found) == [HEALTHY, finding]
    assert found[1].found.step == pytest.approx(7 * begun, rel=0.05)
    often = diagnose(series(ill, config, steps=range(10, END + 1, 10)), config=config)
    assert names(often) == [HEALTHY, finding]
    assert often[1].found.step == pytest.approx(begun, rel=0.25)


@pytest.mark.parametrize("finding", CASES)
def test_what_is_missing_silences_only_what_needs_it(finding):
    config, ill, _ = CASES[finding]
    table, needed = (
        series(ill, config),
        {*FINDINGS[finding].evidence, "disc/accuracy", "step"},
    )
    assert ills({n: x for n, x in table.items() if n in needed}, config) == [finding]
    blank = {n: [None] * len(x) if n in ill else x for n, x in table.items()}
    assert finding not in ills(blank, config)
    absent = {n: x for n, x in table.items() if n not in ill}
    assert finding not in ills(absent, config)


@pytest.mark.parametrize("finding", CASES)
def test_holes_in_a_series_do_not_matter(finding):
    config, ill, _ = CASES[finding]
    table = series(ill, config)
    for name in set(table) - {"step"}:
        table[name][::7] = [math.nan, None, math.inf] * 2 + [None] * 3
    assert ills(table, config) == [finding]


@pytest.mark.parametrize("finding", CASES)
def test_later_rows_change_nothing(finding):
    """So a run that was stopped and resumed has the findings of one that was not."""
    config, ill, _ = CASES[finding]
    table = series(ill, config, until=4000)
    doctor = Doctor(config)
    live = [found for row in rows(table) for found in doctor.logged(row)]
    for k in (10, 30, 50, len(table["step"])):
        part = {name: column[:k] for name, column in table.items()}
        episodes = diagnose(part, config=config)
        known = [one for one in live if one.step <= table["step"][k - 1]]
        assert [one.found for one in episodes] == known


def test_a_run_without_monitors_is_healthy_too():
    kept = ("step", "loss", "disc", "grad")
    table = {n: x for n, x in series().items() if n.partition("/")[0] in kept}
    assert names(diagnose(table, config=NS)) == [HEALTHY]
    assert names(diagnose({"step": table["step"]})) == [HEALTHY]
    assert diagnose({}) == [] and diagnose({n: x[:4] for n, x in table.items()}) == []


def test_only_few_rows_are_kept():
    table, doctor = series(steps=range(1, 8_000)), Doctor(NS)
    most = 0
    for row in zip(*table.values(), strict=True):
        doctor.logged(dict(zip(table, row, strict=True)))
        most = max(most, len(doctor.rows))
    assert most <= 200 and len(doctor.rows) < 150
    assert all("images_per_s" not in row for row in doctor.rows)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_good_discriminator_alone_is_no_alarm(loss):
    """Regularised critics are right nearly always while G learns; what decides is the loss on its own scale."""
    scale = scale_of({"loss": loss})
    value = scale.won + 0.2 * (scale.even - scale.won)
    value = value if math.isfinite(value) else -0.01  # near zero: a critic at the end
    table = series(
        {"loss/disc": value, "disc/accuracy": 0.97, "loss/gen": 5.0}, begin=0
    )
    if math.isfinite(scale.gen_dead):
        table["loss/gen"] = [0.5 * (scale.gen_dead + scale.gen_even)] * len(
            table["step"]
        )
    assert ills(table, {"loss": loss}) == []


@pytest.mark.parametrize("loss", ["wasserstein", "began", "f_pearson", "my.own:loss"])
def test_without_a_bound_a_dying_gradient_decides(loss):
    ill = {"loss/disc": -5.0, "disc/accuracy": 1.0}
    assert ills(series(ill), {"loss": loss}) == []
    found = ills(series(ill | {"grad/gen": 1e-5}), {"loss": loss})
    assert found == ["vanishing_generator_gradient", "discriminator_wins"]


def test_a_critic_that_is_wrong_of_good_fakes_is_no_alarm():
    """It lags behind G; what the fakes are decides. A loss with a scale says itself that D pays more than for not knowing."""
    ill = {"loss/disc": 3.0, "disc/accuracy": 0.2}
    assert ills(series(ill), {"loss": "wasserstein"}) == []
    unlike = series(ill | {"diversity/ratio": 0.4})
    found = ills(unlike, {"loss": "wasserstein"})
    assert found == ["generator_wins", "partial_mode_collapse"]
    assert ills(series(ill), NS) == ["generator_wins"]


def test_a_loss_that_changes_its_sign_is_measured_by_its_size():
    """Medians of a critic's early losses, now above 0 and now below, may be nearly 0."""
    turning = {"loss/disc": lambda step: 50 * math.cos(step)}
    table = series(turning, {"loss": "wasserstein"}, begin=0, until=BEGIN)
    late = series({"loss/disc": lambda step: step / 20}, {"loss": "wasserstein"})
    table["loss/disc"][20:] = late["loss/disc"][20:]
    assert ills(table, {"loss": "wasserstein"}) == []
    grown = {"loss/disc": lambda step: 50 * explosion(step)}
    table["loss/disc"][20:] = series(grown)["loss/disc"][20:]
    assert ills(table, {"loss": "wasserstein"}) == ["divergence"]


@pytest.mark.parametrize("loss", [n for n, f in SCALES.items() if n != "energy_margin"])
def test_scales_are_those_of_the_losses(loss):
    """At an even D, where it is always right, and for a minimax G where it rejects every fake."""
    row, scale = LOSSES[loss], scale_of({"loss": loss})
    even = {"least_squares": 0.5, "f_kl": 1.0}.get(loss, 0.0)
    sure = {"least_squares": (1.0, 0.0), "hinge": (1.0, -1.0)}.get(loss, (40.0, -40.0))

    def at(side, real, fake):
        return float(
            getattr(row, side)(jnp.full(3, float(real)), jnp.full(3, float(fake)))
        )

    if math.isfinite(scale.even):
        assert at("disc", even, even) == pytest.approx(scale.even, abs=1e-6)
        assert at("disc", *sure) == pytest.approx(scale.won, abs=1e-6)
        assert scale.disc_share(scale.even) == 1 and scale.disc_share(scale.won) == 0
    if math.isfinite(scale.gen_dead):
        assert at("gen", even, even) == pytest.approx(scale.gen_even, abs=1e-6)
        assert at("gen", *sure) == pytest.approx(scale.gen_dead, abs=1e-6)
        assert (
            scale.gen_share(scale.gen_even) == 1
            and scale.gen_share(scale.gen_dead) == 0
        )
    assert math.isfinite(scale.even) or math.isfinite(scale.gen_dead)


@pytest.mark.parametrize("loss", ["non_saturating", "least_squares", "hinge"])
@pytest.mark.parametrize(
    ("real", "fake", "flip"), [(0.1, 0, 0), (0.2, 0.1, 0), (0.1, 0.05, 0.2)]
)
def test_noisy_labels_move_the_bound(loss, real, fake, flip):
    """The least expected loss over constant answers, by search, is what `won` says."""
    smooth = loss != "hinge"
    real, fake = (real, fake) if smooth else (0, 0)
    names = ("label_smooth", "label_smooth_fake", "label_flip")
    config = {f"trick.{n}": x for n, x in zip(names, (real, fake, flip), strict=True)}
    scale = scale_of(config | {"loss": loss})
    numbers = {"smooth": real, "smooth_fake": fake} if smooth else {}

    def once(x, y):
        return LOSSES[loss].disc(x[None], y[None], **numbers)

    answers = jnp.linspace(-8, 8, 161)
    x, y = map(jnp.ravel, jnp.meshgrid(answers, answers))
    expected = (1 - flip) * jax.vmap(once)(x, y) + flip * jax.vmap(once)(y, x)
    assert float(expected.min()) == pytest.approx(scale.won, abs=2e-3)
    assert float(expected.min()) > scale.won - 1e-6


def test_a_scale_that_is_not_there_says_nothing():
    none = Scale()
    assert math.isnan(none.disc_share(0.0)) and math.isnan(none.gen_share(0.0))
    assert all(map(math.isnan, scale_of({})))
    assert all(map(math.isnan, scale_of({"loss": "f_pearson"})))


def test_a_wave_goes_to_and_fro_and_a_line_or_a_jump_does_not():
    t, draw = np.arange(48), np.random.default_rng(0)
    wave = np.sin(2 * np.pi * t / 8)
    assert period(wave + 3 - 0.1 * t) == 8
    assert 0.7 < swing(wave + 3 - 0.1 * t) < 1.5
    assert 0.7 < swing(np.sin(2 * np.pi * t / 24)) < 1.5
    assert swing(3 - 0.1 * t) < 1e-12 and swing(np.where(t < 30, 0.0, 1.0)) == 0
    deviations = [swing(draw.normal(size=2000)) for _ in range(5)]
    assert np.allclose(deviations, 1, atol=0.15)


@pytest.mark.parametrize("size", [4, 64, 1024])
def test_chance_is_no_oscillation(size):
    """Accuracies of a D that guesses, of many batches, while samples go to and fro."""
    draw = np.random.default_rng(0).binomial(2 * size, 0.5, (200, 40)) / (2 * size)
    spread = [stirred(100 * i) for i in range(40)]

    def found(accuracy):
        rows_ = [
            {"disc/accuracy": x, "diversity/ratio": y}
            for x, y in zip(accuracy, spread, strict=True)
        ]
        return oscillation(View(Case(Scale(), 2 * size), rows_, rows_))

    assert sum(bool(found(series_.tolist())) for series_ in draw) <= 2
    assert found([stirred(100 * i) - 0.25 for i in range(40)])


def test_memorisation_is_judged_by_the_last_evaluation():
    table = series()

    def evaluations(copying, fake):
        measured = {"copying": copying, "fake_to_train": fake, "held_out_to_train": 4.0}
        rows = [
            (step, f"memorisation_{name}_classifier", value if step == 4000 else 0.5)
            for step in (2000, 4000)
            for name, value in reversed(measured.items())
        ]
        return dict(
            zip(("step", "metric", "value"), zip(*rows, strict=True), strict=True)
        )

    found = diagnose(table, evaluations(0.99, 0.5), NS)
    assert names(found) == [HEALTHY, "memorisation"]
    assert found[1].found.step == 4000 and len(found[1].found.evidence) == 3
    assert names(diagnose(table, evaluations(0.7, 0.5), NS)) == [HEALTHY]
    assert names(diagnose(table, evaluations(0.99, 3.5), NS)) == [HEALTHY]


def test_remedies_depend_on_the_config():
    ways = FINDINGS["discriminator_wins"].remedy
    said = remedy(ways, {"penalty.r1": 0.0, "optim.disc.lr": 2e-4})
    assert said.startswith("--config.penalty.r1=1.0 (a smoother D; now 0.0) or ")
    assert "--config.optim.disc.lr=5e-05" in said
    assert "penalty.r1=20.0" in remedy(ways, {"penalty.r1": 2.0})
    assert instead("rp")("rp") is None and instead("rp")("hinge") == "rp"
    assert times(2)(3) == 6 and times(0.5)(1) == 1 and times(2)(None) is None
    assert at_least(1.0)(None) == 1.0


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs").glob("*.py")), ids=lambda p: p.stem
)
def test_remedies_are_configs_that_train(path):
    config = configs.load(str(path))
    flat = configs.flatten(config)
    for row in FINDINGS.values():
        said = remedy(row.remedy, flat)
        assert bool(said) == bool(row.remedy)
        for field, text in re.findall(r"--config\.([\w.]+)=(\S+) \(", said):
            own = configs.load(str(path))
            configs.override(own, field, configs.parse(field, text))
            configs.validate(own)


def test_the_page_has_every_finding_and_threshold():
    page = (ROOT / "docs/doctor.md").read_text()
    assert [n for n in FINDINGS if f"\n### {n}\n" not in page] == []
    missing = [
        n for n, x in LIMITS._asdict().items() if f"| `{n}` | {x:g} |" not in page
    ]
    assert missing == []
