"""The page as text: what it says, what it escapes, how large it is, and that it needs no jax."""

import json
import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from gan_jax.cli import main
from gan_jax.report import build, read
from gan_jax.report.markup import Html, number, said, tag
from gan_jax.report.samples import pictures
from gan_jax.report.settings import settings_of
from tests.report.folders import DEFAULTS, lines, make_run, make_sweep

ROOT = Path(__file__).parents[2]
EVIL = "<script>window.hacked = 1</script>\"'&"


def page(*folders):
    return build(read(list(folders)), DEFAULTS, {"modes": 1, "reverse_kl": -1})


class Reader(HTMLParser):
    """Checks that elements close in order; collects tags, ids and addresses."""

    VOID = {"meta", "link", "img", "input", "br"}

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.urls = [], Counter(), Counter(), []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags[tag] += 1
        self.ids.update([attrs["id"]] if "id" in attrs else [])
        self.urls += [v for k, v in attrs.items() if k in ("src", "href", "xlink:href")]
        if tag == "img":
            assert attrs["alt"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_markup_escapes_all_but_markup():
    made = tag("p", EVIL, Html("<b>1</b>"), [None, 2], title=EVIL, hidden=False)
    assert "<script" not in made and made.endswith("<b>1</b>2</p>")
    assert number(-12345.0) == "\N{MINUS SIGN}12,345" and number(None) == "\N{EN DASH}"
    assert number(0.000123456) == "0.0001235" and said(1e-4) == "0.0001"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    return make_sweep(tmp_path_factory.mktemp("sweep") / "s", 3, 2, 2)


def test_a_sweep_page_is_one_sound_file(sweep):
    text = page(sweep)
    found = Reader(text)
    assert max(found.ids.values()) == 1, "ids are unique"
    assert all(url.startswith(("data:", "#")) for url in found.urls)
    assert set(found.urls) - {"data:,"} and not re.search(r"@import|url\((?!#)", text)
    sections = re.findall(r'<section id="(\w+)"', text)
    assert sections == ["run", "heat", "evaluation", "samples", "training"] + [
        "members",
        "origin",
    ]
    assert "11 done" in text and "1 diverged" in text and "4 of 4" not in text
    assert found.tags["svg"] == 11, "9 metrics and 2 of the evaluation"
    assert text == page(sweep), "the same bytes for the same folder"


def test_columns_of_layers_have_panels_where_there_is_one_setting(tmp_path):
    runs = [make_run(tmp_path / loss, {"loss": loss}) for loss in ("hinge", "rp")]
    for run in runs:
        rows = [{"step": s, "grad/gen": 1.0, "grad/gen/Dense_0": 0.5} for s in (1, 2)]
        lines(run / "metrics.jsonl", rows)
    alone, both = page(runs[0]), page(*runs)
    assert all("Gradient norms" in text for text in (alone, both))
    assert "grad/gen/Dense_0" in alone and "grad/gen/Dense_0" not in both


def test_seeds_are_joined_with_an_interval(tmp_path):
    runs = [make_run(tmp_path / str(i), {"seed": i}) for i in range(3)]
    text = page(*runs)
    # modes 6, 7, 8: 7 and 4.302653 / sqrt(3)
    assert re.search(r"7 \N{PLUS-MINUS SIGN} 2\.5<small> n 3", text)
    assert "n = 3" in text and "band: smallest to largest" in text
    assert "3 fields are not at their default" in text  # data.source, seed, steps


def test_a_repeated_seed_is_pointed_out(tmp_path):
    text = page(make_run(tmp_path / "a"), make_run(tmp_path / "b"))
    assert "seed 0 occurs more than once" in text


def test_hostile_text_stays_text(tmp_path):
    run = make_run(tmp_path / "<b>a", {"loss": EVIL, EVIL: EVIL})
    lines(run / "findings.jsonl", [{"step": 1, "finding": EVIL, "evidence": {"$": 1}}])
    row = {"metric": EVIL, "value": 1.0, "protocol": {EVIL: EVIL}}
    lines(run / "eval.jsonl", [{"step": 1} | row, {"step": 2} | row])
    lines(run / "metrics.jsonl", [{"step": 1, EVIL: 1.0, "$x^{$": 2.0}] * 2)
    text = page(run, make_run(tmp_path / "c"))
    assert "<script>window" not in text and "<b>a" not in text
    assert Reader(text).tags["script"] == 1


def test_a_picture_that_is_not_whole_is_left_out(tmp_path):
    run = make_run(tmp_path / "a")
    path = run / "samples/step_00000500.png"
    path.write_bytes(path.read_bytes()[:-9])
    text = page(run)
    assert "Damaged and left out: a/step_00000500.png" in text
    assert Reader(text).tags["img"] == 2


def test_pictures_are_thinned_to_fit(tmp_path):
    steps = tuple(range(0, 3000, 100))
    runs = [
        make_run(tmp_path / f"{i}", {"seed": i % 3, "loss": f"l{i // 3}"}, 1000, steps)
        for i in range(6)
    ]
    settings = settings_of(read(runs).runs)
    whole = pictures(settings)
    assert whole.count("<img") == 6 * 12 and "12 of 30 steps" in whole
    size = 2 * (tmp_path / "0/samples/step_00002900.png").stat().st_size
    one = pictures(settings, budget=size)
    assert one.count("<img") == 2 and "2 of 6 runs, at most one of each" in one


def test_a_folder_with_nothing_in_it_but_a_config(tmp_path):
    run = make_run(tmp_path / "a")
    for path in [*run.glob("*.jsonl"), *run.glob("samples/*")]:
        path.unlink()
    text = page(run)
    assert Reader(text).tags["svg"] == 0 and "unfinished" in text


def test_the_verb_writes_and_names_the_page(tmp_path, capsys):
    a, b = (make_run(tmp_path / n, {"seed": i}) for i, n in enumerate("ab"))
    assert main(["report", f"--workdir={a}"]) == 0
    assert capsys.readouterr().out.strip() == str(a / "report.html")
    assert main(["report", f"--workdir={a},{b}"]) == 0
    assert (tmp_path / "report.html").is_file()
    out = tmp_path / "new/page.html"
    words = [f"--workdir={a}", f"--workdir={b}", f"--out={out}"]
    assert main(["report", *words]) == 0
    assert out.read_text() == (tmp_path / "report.html").read_text()
    text = out.read_text()
    assert "\N{DOWNWARDS ARROW}" in text, "the verb knows which way metrics improve"
    assert ">non_saturating</td><td>rp" in text, "and the defaults"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--workdir=nothing/here"], "config.json is missing"),
        (["--workdir=x", "--config.loss=hinge"], "takes no --config"),
    ],
)
def test_a_mistake_is_one_sentence(words, message, capsys):
    assert main(["report", *words]) == 2
    text = capsys.readouterr().err
    assert message in text and "Traceback" not in text


def test_a_page_is_made_without_jax(tmp_path):
    run = make_run(tmp_path / "a")
    code = (
        "import json, sys; from pathlib import Path; from gan_jax.report import build, read;"
        "page = build(read([Path(sys.argv[1])]), json.loads(sys.argv[2]), {});"
        "bad = {'jax', 'jaxlib', 'flax', 'optax'} & set(sys.modules); assert not bad, bad;"
        "print(len(page))"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(run)]
    done = subprocess.run(
        [*command, json.dumps(DEFAULTS)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stderr == "" and int(done.stdout) > 10_000
