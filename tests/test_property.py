"""Any config is refused with one sentence, or trains: nothing else, whatever is thrown at it.

The configs are drawn from the table of fields (random_configs.py), always the same ones.
"""

import contextlib
import functools
import io
import json
import tempfile
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from ml_collections import ConfigDict

from gan_jax import cli, config, data
from gan_jax.capacity import forward_bytes
from gan_jax.config import ConfigError
from gan_jax.fields import FIELDS
from gan_jax.fields.schedule import parse_schedules
from gan_jax.job import assemble, shape_of_state, table_of
from gan_jax.step import init, make_step
from gan_jax.tricks import scheduled
from gan_jax.types import UserError
from tests.random_configs import (
    LIGHT,
    NOT_OURS,
    TYPED,
    allowed,
    changes,
    configs,
    ordinary,
    schedules,
    wild,
)
from tests.recipes import parts, tiny

NAMES = list(FIELDS)
ORDER = {"derandomize": True, "deadline": None, "database": None}
ORDER["suppress_health_check"] = list(HealthCheck)
ONCE = {**ORDER, "phases": [Phase.generate]}  # shrinking would take many minutes
LONGEST = 1500  # letters of a refusal
FILE = Path(__file__).parents[1] / "configs" / "ring_plain.py"


@pytest.fixture(autouse=True, scope="module")
def read_once():
    """Keep the data in memory: it is read for every example."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "load", functools.cache(data.load))
        yield


def sentence(text):
    """Whether a refusal is one: some words, no traceback, no end of lines."""
    return " " in text and "Traceback" not in text and len(text) < LONGEST


def configured(values):
    """A config of these values, whatever they are."""
    flat = {name: field.default for name, field in FIELDS.items()}
    return ConfigDict(config.nested({**flat, **values}), type_safe=False)


def refused(values):
    """Whether a config of these values is refused; what is not, can be turned into a recipe and numbers."""
    c = configured(values)
    try:
        config.validate(c)
    except ConfigError as error:
        assert sentence(str(error))
        return True
    recipe = config.recipe_of(c, (28, 28, 1), 10)
    assert hash(recipe) is not None
    numbers = jax.tree.leaves(config.hyper_of(c))
    assert all(np.isfinite(x) and x.dtype == np.float32 for x in numbers)
    return False


@given(changes(NAMES, wild))
@settings(**ORDER, max_examples=400)
def test_any_values_are_refused_or_valid(values):
    refused(values)


@given(schedules(), ordinary("optim.gen.lr"))
@settings(**ORDER, max_examples=200)
def test_any_schedule_is_refused_or_keeps_its_number_allowed(text, value):
    name = text.partition("=")[0]
    values = {"schedule": text}
    if FIELDS[name].default == 0:
        values[name] = type(FIELDS[name].default)(value)
    if refused(values):
        return
    numbers = config.hyper_of(configured(values))
    (kind,) = (entry.kind for entry in parse_schedules(text).values())
    begin, end, *_ = map(float, numbers["schedule"][name].values())
    for step in (0, begin, (begin + end) / 2, end, 2 * end):
        step = min(step, 2**31 - 1)  # a step is an int32
        now = config.flatten(scheduled(((name, kind),), numbers, step))[name]
        # half a unit in the last place may be lost
        assert any(allowed(name, float(now) * (1 + x)) for x in (-1e-6, 0, 1e-6))


@pytest.mark.parametrize("name", NAMES)
def test_every_field_refuses_every_other_type(name):
    kind = type(FIELDS[name].default)
    others = [None, [], (), {}, b"1", 1j, np.float32(1), np.int64(1), np.zeros(2)]
    others += [x for x in (True, 1, 0.5, "1") if type(x) is not kind]
    for value in others:
        if kind is not float or type(value) is not int:
            assert refused({name: value}), value


@pytest.mark.parametrize("name", NAMES)
def test_every_number_has_an_end(name):
    kind = type(FIELDS[name].default)
    ends = {int: [10**10, 10**30, 10**5000, -(10**30)], float: [1e39, 10**400, 1e-40]}
    assert all(refused({name: value}) for value in ends.get(kind, []))


OWN = [n for n, field in FIELDS.items() if hasattr(field.rule, "choices")]


@pytest.mark.parametrize("name", OWN)
def test_what_is_imported_must_be_of_the_table_s_type(name):
    """A function where functions are asked for may pass: it is run only in training."""
    assert refused({name: "math:pi"}) and refused({name: "no.such:thing"})
    for word in NOT_OURS:
        refused({name: word})


def said(*words):
    """(exit code, standard error) of a command line."""
    out = io.StringIO()
    with contextlib.redirect_stderr(out):
        code = cli.main(words)
    return code, out.getvalue()


def is_refusal(code, errors):
    """Whether a command ended with 2 and one sentence."""
    if code != cli.USAGE:
        return False
    assert errors.startswith("error: ") and sentence(errors), errors
    return True


def text(name):
    """What may stand behind --config.NAME=."""
    kind = type(FIELDS[name].default)
    return TYPED[str] | TYPED[kind].map(str) | ordinary(name).map(str)


@given(changes(NAMES, text, 1, 3))
@settings(**ORDER, max_examples=150)
def test_any_text_of_a_command_line_is_refused_or_a_valid_config(words):
    """Training is left out: `train` would be called with a validated config."""
    called = []
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(
            "gan_jax.verbs.train.train", lambda c, *rest: called.append(c) or 0
        )
        where = Path(folder) / "run"
        given = [f"--config.{name}={word}" for name, word in words.items()]
        code, errors = said(f"--config={FILE}", f"--workdir={where}", *given)
        assert not where.exists()
    assert is_refusal(code, errors) != bool(called)


def blank(folder, **changed):
    """What is said of a config that is all defaults but for changes, and where it would run."""
    file, where = Path(folder) / "base.py", Path(folder) / "run"
    file.write_text("from gan_jax.config import base as get_config\n")
    changed = [f"--config.{name}={value}" for name, value in changed.items()]
    return *said(f"--config={file}", f"--workdir={where}", *changed), where


TOO_LARGE = [
    ("batch_size", 10**9, "lower batch_size"),
    ("model.width", 10**6, "lower model.width or model.latent_dim"),
    ("model.width", 2**31 - 1, "lower model.width"),
    ("model.latent_dim", 2**31 - 1, "or model.latent_dim"),
    ("scan_steps", 10**9, "lower scan_steps"),
    ("n_disc", 10**9, "n_disc or batch_size"),
]


@pytest.mark.parametrize(("name", "value", "cure"), TOO_LARGE)
def test_a_run_that_no_memory_holds_is_refused(tmp_path, name, value, cure):
    code, errors, where = blank(tmp_path, **{name: value})
    assert is_refusal(code, errors) and not where.exists()
    assert "GiB of each device and" in errors and cure in errors


def test_what_a_forward_pass_leaves():
    """An MLP from 3 numbers through 16 to 2, and from 2 through 16 to 1, for a batch of 8 in float32."""
    c = tiny(**{"model.depth": 1, "model.latent_dim": 3})
    recipe, nets, hyper = parts(c, (2,))
    state = jax.eval_shape(functools.partial(init, recipe, nets, hyper), 0)
    assert forward_bytes(recipe, nets, state) == 4 * 8 * (16 + 2 + 16 + 1)


def shapes_of_a_step(values):
    """Whether a config is refused; what is not, has a step whose state keeps its shapes. Computes nothing."""
    c = config.base()
    for name, value in values.items():
        config.override(c, name, value)
    try:
        job = assemble(c)
    except UserError as error:
        assert sentence(str(error))
        return True
    lead = job.recipe.n_disc, job.recipe.batch_size
    batch = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((*lead, *x.shape[1:]), x.dtype),
        table_of(job.dataset),
    )
    before = shape_of_state(job)
    step = make_step(job.recipe, job.nets)
    after, metrics = jax.eval_shape(step, before, batch)
    kept = jax.tree.map(
        lambda a, b: a.shape == b.shape and a.dtype == b.dtype, before, after
    )
    assert jax.tree.all(kept)
    assert metrics["loss/gen"].shape == metrics["loss/disc"].shape == ()
    return False


@given(configs(12))
@settings(**ONCE, max_examples=25)
def test_any_combination_is_refused_or_has_a_step(values):
    shapes_of_a_step(values)


@pytest.mark.slow
@given(configs(20))
@settings(**ONCE, max_examples=600)
def test_many_combinations_are_refused_or_have_a_step(values):
    shapes_of_a_step(values)


def trained(values):
    """Whether a command line is refused, leaving nothing; what is not, trains two steps."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("GAN_JAX_CACHE", folder)
        code, errors, where = blank(folder, **values)
        if is_refusal(code, errors):
            assert not where.exists()
            return True
        assert code == 0, errors
        rows = (where / "metrics.jsonl").read_text().splitlines()
        rows = [json.loads(row) for row in rows]
        assert [row["step"] for row in rows] == [1, 2]
        assert all(x is not None for row in rows for x in row.values())
        return False


@given(configs(8, LIGHT))
@settings(**ONCE, max_examples=12)
def test_any_run_is_refused_or_trains(values):
    trained(values)


@pytest.mark.slow
@given(configs(16))
@settings(**ONCE, max_examples=200)
def test_many_runs_are_refused_or_train(values):
    trained(values)
