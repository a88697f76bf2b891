"""Configs: every mistake is refused with the cure, structure and numbers are told apart."""

from pathlib import Path

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from gan_jax import config
from gan_jax.config import ConfigError
from gan_jax.fields import FIELDS
from gan_jax.types import UserError

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "configs").rglob("*.py"))


def changed(name, value):
    c = config.base()
    config.override(c, name, value)
    return c


def test_the_defaults_are_valid():
    config.validate(config.base())


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("loss", "hing", "did you mean 'hinge'"),
        ("model.name", "dcgn", "did you mean 'dcgan'"),
        ("optim.gen.name", "adm", r"did you mean 'adam'\? choices: adam, adamw, "),
        ("data.source", "emojis", "did you mean 'emoji'"),
        ("optim.gen.lr", -1e-3, "must be >= 0"),
        ("optim.gen.lr", float("nan"), "must be finite"),
        ("optim.disc.b1", 1.0, "< 1"),
        ("penalty.r1", float("inf"), "must be finite"),
        ("model.dropout", 1.0, "< 1"),
        ("steps", 0, "must be >= 1"),
        ("batch_size", -4, "must be >= 1"),
        ("parallel", "pmapp", "choices: jit, pmap"),
        ("precision", "float16", "choices: float32, bfloat16"),
        ("seed", -1, "must be >= 0"),
        ("seed", 2**32, "seed is 4294967296; it must be at most 4294967295"),
    ],
)
def test_a_bad_value_is_refused_with_the_cure(name, value, message):
    with pytest.raises(UserError, match=message):
        config.validate(changed(name, value))


def test_every_number_refuses_nan():
    for name, field in FIELDS.items():
        if isinstance(field.default, float):
            with pytest.raises(UserError, match="finite"):
                config.validate(changed(name, float("nan")))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("optim.gen.lrr", "1", "did you mean 'optim.gen.lr'"),
        ("steps", "abc", "expected a whole number"),
        ("steps", "1.5", "expected a whole number"),
        ("data.flip", "maybe", "expected true or false"),
        ("optim.gen.lr", "fast", "expected a number"),
    ],
)
def test_a_bad_override_is_refused(name, text, message):
    with pytest.raises(ConfigError, match=message):
        config.parse(name, text)


def test_overrides_take_the_field_s_type():
    assert config.parse("steps", "20_000") == 20000
    assert config.parse("optim.gen.lr", "1") == 1.0 and isinstance(
        config.parse("optim.gen.lr", "1"), float
    )
    assert config.parse("data.flip", "true") is True
    assert config.parse("loss", "hinge") == "hinge"


def test_a_wrong_type_in_a_file_is_refused():
    c = config.base().to_dict()
    c["steps"] = "100"
    with pytest.raises(ConfigError, match="expected int"):
        config.validate(c)
    c = config.base().to_dict()
    c["extra"] = 1
    with pytest.raises(ConfigError, match="unknown config field 'extra'"):
        config.validate(c)
    c = config.base().to_dict()
    del c["optim"]["gen"]["lr"]
    with pytest.raises(ConfigError, match="lacks optim.gen.lr"):
        config.validate(c)


def test_smoothing_without_labels_is_refused():
    c = changed("trick.label_smooth", 0.1)
    config.validate(c)
    c.loss = "wasserstein"
    with pytest.raises(ConfigError, match="needs a loss with labels"):
        config.validate(c)


def test_numbers_are_scalars_and_structure_is_hashable():
    c = config.base()
    recipe = config.recipe_of(c, (28, 28, 1))
    assert hash(recipe) == hash(config.recipe_of(config.base(), (28, 28, 1)))
    leaves = jax.tree.leaves(config.hyper_of(c))
    assert all(x.dtype == np.float32 and x.shape == () for x in leaves)
    assert config.hyper_of(c)["optim"]["gen"]["lr"] == np.float32(2e-4)


@pytest.mark.parametrize("name", [n for n, f in FIELDS.items() if f.kind == "number"])
def test_a_number_never_changes_the_structure(name):
    other = changed(
        name,
        type(FIELDS[name].default)(
            0.25 if isinstance(FIELDS[name].default, float) else 7
        ),
    )
    assert config.recipe_of(other, (28, 28, 1)) == config.recipe_of(
        config.base(), (28, 28, 1)
    )


@pytest.mark.parametrize("name", [n for n, f in FIELDS.items() if f.kind == "switch"])
def test_a_switch_is_structure_at_zero_only(name):
    def recipe(value):
        return config.recipe_of(changed(name, value), (28, 28, 1))

    kind = type(FIELDS[name].default)  # counts are whole numbers
    small, large = (kind(x) for x in ((1, 2) if kind is int else (0.1, 0.2)))
    assert recipe(small) == recipe(large) != recipe(kind(0))


STRUCTURE = {
    "loss": "hinge",
    "batch_size": 32,
    "n_disc": 2,
    "n_gen": 2,
    "model.width": 8,
    "model.norm": "none",
    "optim.gen.name": "sgd",
    "data.flip": True,
    "trick.share_noise": False,
    "trick.disc_split": True,
    "precision": "bfloat16",
}


@pytest.mark.parametrize("name", STRUCTURE)
def test_structure_changes_the_recipe(name):
    other = config.recipe_of(changed(name, STRUCTURE[name]), (28, 28, 1))
    assert other != config.recipe_of(config.base(), (28, 28, 1))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_config_file_is_valid(path):
    config.validate(config.load(str(path)))
    assert "python launch.py --config=configs/" in path.read_text()


def test_a_missing_file_lists_its_neighbours():
    with pytest.raises(UserError, match="dcgan_fashion.py"):
        config.load(str(ROOT / "configs/dcgan_fashon.py"))


def test_a_broken_file_is_one_sentence(tmp_path):
    path = tmp_path / "bad.py"
    path.write_text(
        "from gan_jax.config import base\ndef get_config():\n    c = base()\n    c.stepz = 3\n    return c\n"
    )
    with pytest.raises(UserError, match="stepz"):
        config.load(str(path))
    path.write_text("x = (\n")
    with pytest.raises(UserError, match="SyntaxError"):
        config.load(str(path))
    path.write_text("x = 1\n")
    with pytest.raises(UserError, match="get_config"):
        config.load(str(path))


def test_an_argument_goes_to_the_file(tmp_path):
    path = tmp_path / "arg.py"
    path.write_text(
        "from gan_jax.config import base\ndef get_config(arg='1'):\n    c = base()\n    c.steps = int(arg)\n    return c\n"
    )
    assert config.load(f"{path}:7").steps == 7
    assert config.load(f"{path}:7,smoke").steps == 7
    with pytest.raises(ConfigError, match="takes no argument"):
        config.load(f"{ROOT}/configs/dcgan_fashion.py:7")


def test_smoke_replaces_a_missing_source_and_says_so(capsys):
    c = config.load(str(ROOT / "configs/dcgan_celeba.py") + ":smoke")
    assert c.data.source == c.data.stand_in and c.steps <= 20
    assert "celeba" in capsys.readouterr().err


def test_changes_name_what_a_resumed_run_may_not_change():
    old = config.base().to_dict()
    new = config.base()
    new.steps, new.log_every = 99, 7
    assert config.changes(old, new) == []
    new.optim.disc.lr = 1.0
    assert config.changes(old, new) == ["optim.disc.lr: 0.0002 -> 1.0"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "def get_config():\n    return None\n",
            r"returned None \(NoneType\).*base\(\)",
        ),
        ("def get_config():\n    return {'steps': 1}\n", r"\(dict\).*base\(\)"),
        ("get_config = 3\n", "no function get_config"),
        ("import sys\nsys.exit(3)\n", "line 2: SystemExit: 3"),
        ("def get_config():\n    raise SystemExit('no')\n", "line 2: SystemExit: no"),
        (
            "def get_config():\n    return get_config()\n",
            "line 2: RecursionError: maximum recursion depth",
        ),
        ("def get_config():\n    return 1 / 0\n", "line 2: ZeroDivisionError"),
        ("def get_config(more):\n    return more\n", "TypeError: .*'more'"),
        ("x = (\n", r"SyntaxError: '\(' was never closed"),
        (
            "from ml_collections import ConfigDict\nget_config = ConfigDict\n",
            r"config lacks seed, .*base\(\)",
        ),
        (
            "from gan_jax.config import base\n"
            "def get_config():\n    c = base().unlock()\n    c.steps = None\n    return c\n",
            r"steps is None \(NoneType\); expected int",
        ),
        (
            "from gan_jax.config import base\n"
            "def get_config():\n    c = base()\n    c.model = None\n    return c\n",
            "unknown config field 'model'",
        ),
    ],
)
def test_whatever_a_file_does_is_one_sentence(tmp_path, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "odd.py"
    path.write_text(text)
    for form in (path, f"{path}:smoke", "odd.py", "./odd.py"):
        with pytest.raises(UserError, match=message):
            config.load(str(form))


def test_a_file_that_is_no_python_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("def get_config(): return None")
    (tmp_path / "bytes.py").write_bytes(b"\x00\xff\xfe")
    for name in ("notes.txt", "bytes.py", ".", "\0.py"):
        with pytest.raises(UserError):
            config.load(str(tmp_path / name))


def test_a_sweep_that_a_file_cannot_make_is_one_sentence(tmp_path):
    path = tmp_path / "odd.py"
    path.write_text("def get_sweep():\n    raise KeyError('x')\n")
    with pytest.raises(UserError, match="line 2: KeyError"):
        config.sweep_of(str(path))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("optim.gen.lr", 1e39, r"1e\+39; in float32 it must be 0, or from 1.2e-38"),
        ("augment.kimg", 1e-50, "in float32 it must be 0, or from"),
        ("optim.disc.b1", 1 - 1e-9, "b1 is 1.0.*; float32 rounds 0.999999999 to that"),
        ("steps", 2**31, "steps is 2147483648; it must be at most 2147483647"),
        ("penalty.r1", 10**400, "a whole number of 1329 bits"),
        ("model.depth", 10**6, "must be >= 1 and <= 100"),
        ("loss", "math:pi", "is 3.14.*, not a LossPair; .*choose of: .*hinge"),
        ("model.latent_dist", "math:pi", "not a function"),
        ("data.source", "math:pi", "not a function"),
        ("steps", np.int64(3), "int64.*expected int, such as 20000"),
    ],
)
def test_what_a_program_cannot_hold_is_refused(name, value, message):
    flat = {n: field.default for n, field in FIELDS.items()} | {name: value}
    with pytest.raises(ConfigError, match=message):
        config.validate(ConfigDict(config.nested(flat), type_safe=False))


def test_a_number_that_python_will_not_write_is_refused():
    flat = {n: field.default for n, field in FIELDS.items()} | {"steps": 10**5000}
    with pytest.raises(ConfigError, match="steps is a whole number of 16610 bits"):
        config.validate(ConfigDict(config.nested(flat)))
