"""The architecture: imports go downwards, and each outside package has its rooms."""

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "gan_jax"
LEVELS = [
    {"types", "files", "lock", "progress", "version", "manifest", "leaves", "heap"}
    | {"scripts", "stop", "watch", "meet", "hosts"},
    {"losses", "penalties", "regularisers", "tricks", "augment", "latents", "models"}
    | {"borders", "energies", "monitors"},
    {"auxiliary", "judging", "adversarial", "translation", "cycle"} | {"objectives"},
    {"turns", "games", "step", "chunk", "culprit", "observed", "dynamics"},
    {"parallel", "fields", "combinations", "image_tasks", "config", "checkpoint"}
    | {"scales", "symptoms", "remedies", "doctor"}
    | {"images", "record"}
    | {"board", "rows", "video"}
    | {"data", "eval", "best", "settings", "plan", "saved"},
    {
        "background",
        "capacity",
        "checkup",
        "compiled",
        "job",
        "feeding",
        "sampling",
        "gallery",
        "held_out",
        "evaluation",
        "loop",
        "train",
        "training",
    }
    | {"population", "halving", "herd", "fit", "group", "cluster", "engines"}
    | {"results", "space", "sweep", "paths"},
    {"cli", "verbs", "report", "__init__"},
]
LEVEL = {name: i for i, names in enumerate(LEVELS) for name in names}
ROOMS = {  # outside package -> where in gan_jax it may be imported
    "flax": {"models"},
    "optax": {"turns", "eval"},
    "orbax": {"checkpoint"},
    "tensorflow_datasets": {"data"},
    "PIL": {"data", "images"},
    "ml_collections": {"config", "job", "train", "evaluation", "plan", "sweep"}
    | {"fit", "group"},
    "ray": {"cluster"},
    "optuna": {"space"},
    "psutil": {"capacity", "population"},
    "tensorboardX": {"board"},
    "matplotlib": {"report"},
}
FILES = sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def imported(path: Path) -> list[str]:
    """Every dotted module a file imports, wherever in the file."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write imports in full"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def upward(importer: str, names: list[str]) -> list[str]:
    """The imports of gan_jax that break the order (a room may use its own level, never a higher one)."""
    bad = []
    for name in names:
        parts = name.split(".")
        if parts[0] != "gan_jax" or parts[1:2] == [importer]:
            continue
        target = parts[1] if parts[1] in LEVEL else "__init__"
        if LEVEL[target] > LEVEL[importer]:
            bad.append(name)
    return bad


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_downwards(path):
    assert room(path) in LEVEL, f"give {room(path)} a level"
    assert upward(room(path), imported(path)) == []


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_outside_packages_stay_in_their_rooms(path):
    for name in imported(path):
        allowed = ROOMS.get(name.split(".")[0])
        assert allowed is None or room(path) in allowed, name


def test_the_check_sees_an_upward_import():
    assert upward("losses", ["gan_jax.step.init"]) == ["gan_jax.step.init"]
    assert upward("step", ["gan_jax.losses.LOSSES", "gan_jax.types.Pair"]) == []


def test_no_cycles():
    graph = {}
    for path in FILES:
        rooms = {n.split(".")[1] for n in imported(path) if n.startswith("gan_jax.")}
        graph.setdefault(room(path), set()).update((rooms & set(LEVEL)) - {room(path)})
    while graph:
        leaves = {name for name, uses in graph.items() if not uses & set(graph)}
        assert leaves, f"import cycle among {sorted(graph)}"
        graph = {name: uses for name, uses in graph.items() if name not in leaves}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_and_functions_stay_readable(path):
    text = path.read_text()
    assert text.count("\n") <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 60, node.name
            assert len(node.args.args) + len(node.args.kwonlyargs) <= 7, node.name


EXPERIMENTS = sorted((ROOT / "experiments").rglob("[!_]*.py"))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda p: f"{p.parent.name}.{p.stem}")
def test_an_experiment_finds_what_it_imports(path):
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    assert importlib.import_module(name).__doc__, "it says what it is for"
