"""The documentation names every row of every table."""

import re
from pathlib import Path

import pytest

from gan_jax.augment import AUGMENTS
from gan_jax.data import SOURCES
from gan_jax.eval.features import FEATURES
from gan_jax.eval.measures import METRICS
from gan_jax.fields import FIELDS
from gan_jax.games import GAMES
from gan_jax.losses import LOSSES
from gan_jax.models import MODELS
from gan_jax.models.kit import CONDITIONS, MINIBATCH
from gan_jax.models.layers import INITS
from gan_jax.models.norms import NORMS
from gan_jax.penalties import PENALTIES
from gan_jax.population import BACKENDS
from gan_jax.regularisers import REGULARISERS
from gan_jax.tricks import FEATURE_MATCHING, SCHEDULES
from gan_jax.turns import OPTIMIZERS

ROOT = Path(__file__).parents[1]
NAMES = re.compile(r"[a-z0-9_]+")
TABLES = {
    "losses": LOSSES,
    "games": GAMES,
    "penalties": PENALTIES,
    "regularisers": REGULARISERS,
    "feature matching": FEATURE_MATCHING,
    "schedules": SCHEDULES,
    "optimizers": OPTIMIZERS,
    "augmentations": AUGMENTS,
    "networks": MODELS,
    "norms": NORMS,
    "inits": INITS,
    "minibatch": [name for name in MINIBATCH if name != "none"],
    "conditions": [name for name in CONDITIONS if name != "none"],
    "tricks": [n.removeprefix("trick.") for n in FIELDS if n.startswith("trick.")],
}


def quoted(path):
    """Every name that a page shows as code."""
    code = re.findall(r"`([^`\n]+)`", (ROOT / path).read_text())
    return {name for text in code for name in NAMES.findall(text)}


@pytest.mark.parametrize("table", TABLES)
def test_every_row_has_its_line(table):
    assert set(TABLES[table]) - quoted("docs/matrix.md") == set()


def test_every_source_and_config_is_in_the_readme():
    shown = quoted("README.md")
    assert set(SOURCES) - shown == set()
    assert {path.stem for path in (ROOT / "configs").rglob("*.py")} - shown == set()


def test_every_metric_and_its_features_are_explained():
    values = {name for row in METRICS.values() for name in row.better}
    assert (values | {*METRICS, *FEATURES}) - quoted("docs/evaluation.md") == set()


def test_every_backend_is_explained():
    assert set(BACKENDS) - quoted("docs/sweeps.md") == set()


def test_every_promise_has_its_tests():
    page = (ROOT / "docs/reliability.md").read_text()
    promises = re.findall(r"^\| \d \| .*$", page, re.MULTILINE)
    assert len(promises) == 9
    assert all("](../tests/" in line for line in promises)
    links = re.findall(r"\]\((\.\./[^)#]+)\)", page)
    assert [link for link in links if not (ROOT / "docs" / link).is_file()] == []
