"""The page in a real browser: Debian's chromium, opened by file://."""

import shutil

import pytest
from playwright.sync_api import sync_playwright

from gan_jax.cli import main
from gan_jax.report import build, read
from tests.report.folders import DEFAULTS, lines, make_run, make_sweep
from tests.report.test_page import EVIL
from tests.test_train import ROOT

VIEWS = [(w, s) for w in (1280, 360) for s in ("light", "dark")]
SHOWN = "[...document.querySelectorAll('.grids img')].filter(i => i.offsetParent)"
COLUMN = "n => [...document.querySelectorAll('#members tbody tr')].map(r => r.cells[n].dataset.v)"


@pytest.fixture(scope="module")
def browser():
    found = shutil.which("chromium") or shutil.which("google-chrome")
    assert found, "chromium is not on the PATH: apt-get install -y chromium"
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """The page of 5 x 5 settings with 5 seeds."""
    folder = make_sweep(tmp_path_factory.mktemp("sweep") / "s")
    out = folder / "report.html"
    out.write_text(build(read([folder]), DEFAULTS, {}), encoding="utf-8")
    return out


def opened(browser, path, width, scheme):
    """A page and what went wrong in it: console lines, errors, requests beyond the file."""
    tab = browser.new_page(
        viewport={"width": width, "height": 800}, color_scheme=scheme
    )
    wrong = []
    tab.on("console", lambda message: wrong.append(message.text))
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("dialog", lambda dialog: wrong.append(dialog.message))
    tab.on("request", lambda r: wrong.append(r.url) if not_ours(r.url, path) else None)
    tab.goto(path.as_uri())
    return tab, wrong


def not_ours(url, path):
    return url.partition("#")[0] != path.as_uri() and not url.startswith("data:")


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_all_of_a_sweep_works(browser, path, width, scheme):
    tab, wrong = opened(browser, path, width, scheme)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    sizes = "[...document.images].map(i => [i.complete, i.naturalWidth])"
    assert tab.evaluate(sizes) == [[True, 24]] * 75, "25 settings, 3 steps"
    ground = tab.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    inks = "[...document.querySelectorAll('.plot text')].map(t => getComputedStyle(t).fill)"
    quiet = {"light": "rgb(93, 102, 112)", "dark": "rgb(152, 162, 172)"}[scheme]
    assert set(tab.evaluate(inks)) == {quiet}

    assert tab.evaluate(f"{SHOWN}.map(i => i.dataset.step)") == ["1,000"] * 25
    tab.focus("#step")
    tab.keyboard.press("ArrowLeft")
    assert tab.evaluate(f"{SHOWN}.map(i => i.dataset.step)") == ["500"] * 25
    tab.keyboard.press("Home")
    assert tab.evaluate(f"{SHOWN}.map(i => i.dataset.step)") == ["0"] * 25
    assert tab.inner_text("output") == "0"
    assert tab.get_attribute("#step", "aria-valuetext") == "step 0"

    before = tab.locator(".maps:visible").screenshot()
    tab.select_option("#heat-value", label="best/modes")
    assert tab.locator(".maps:visible").count() == 1
    assert "best/modes" in tab.inner_text(".maps:visible caption")
    assert tab.locator(".maps:visible").screenshot() != before
    assert wrong == []
    tab.close()


def test_a_head_sorts_numbers_as_numbers_with_gaps_last(browser, path):
    tab, wrong = opened(browser, path, 1280, "light")
    heads = tab.locator("#members thead button").all_inner_texts()
    for name, missing in (("r1", 0), ("final/reverse_kl", 1)):
        place = heads.index(name)
        button = tab.locator("#members thead button").nth(place)
        for sign, word in ((1, "ascending"), (-1, "descending")):
            button.click()
            values = tab.evaluate(COLUMN, place)
            numbers = [float(v) for v in values[: 125 - missing]]
            assert numbers == sorted(numbers, reverse=sign < 0)
            assert values[125 - missing :] == [None] * missing
            head = tab.locator("#members thead th").nth(place)
            assert head.get_attribute("aria-sort") == word
    tab.locator("#members thead button").nth(0).press("Enter")
    names = tab.locator("#members tbody th").all_inner_texts()
    assert names == sorted(names) and wrong == []
    tab.close()


def test_a_setting_is_picked_out_of_the_curves(browser, path):
    tab, wrong = opened(browser, path, 1280, "dark")
    bands = "[...document.querySelectorAll('.band')].filter(b => getComputedStyle(b).display != 'none').length"
    assert tab.evaluate(bands) == 0, "25 bands would be mud"
    tab.locator("#training .legend button").nth(3).click()
    assert tab.evaluate(bands) == 11 and tab.locator(".line.on").count() == 11
    opacity = "e => getComputedStyle(e).opacity"
    assert tab.locator(".line.of-3").first.evaluate(opacity) == "1"
    assert tab.locator(".line.of-4").first.evaluate(opacity) == "0.1"
    tab.locator("#training .legend button").nth(3).click()
    assert tab.locator(".picked").count() == 0 and wrong == []
    tab.close()


def test_hostile_text_does_not_run(browser, tmp_path):
    a = make_run(tmp_path / "a", {"loss": EVIL, EVIL: EVIL})
    lines(a / "findings.jsonl", [{"step": 1, "finding": EVIL, "remedy": "x" * 500}])
    out = tmp_path / "report.html"
    out.write_text(build(read([a, make_run(tmp_path / "b")]), DEFAULTS, {}), "utf-8")
    tab, wrong = opened(browser, out, 360, "light")
    assert tab.evaluate("typeof window.hacked") == "undefined" and wrong == []
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    assert EVIL in tab.inner_text("#findings tbody")
    tab.close()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The page of a sweep that was trained: 5 rates x 5 penalties x 5 seeds of a ring."""
    folder = tmp_path_factory.mktemp("trained") / "s"
    rates, weights = "1e-4,3e-4,1e-3,3e-3,1e-2", "0.01,0.03,0.1,0.3,1"
    words = [
        f"--config={ROOT}/configs/ring.py",
        f"--sweep=optim.disc.lr={rates};penalty.r1={weights};seed=0..4",
        "--backend=map",
        f"--workdir={folder}",
    ]
    small = {"batch_size": 8, "model.width": 8, "scan_steps": 10, "steps": 20}
    cadences = {"log_every": 5, "sample_every": 10, "eval.every": 10, "eval.n": 100}
    words += [f"--config.{n}={x}" for n, x in (small | cadences).items()]
    assert main(["sweep", *words]) == 0
    assert main(["report", f"--workdir={folder}"]) == 0
    return folder / "report.html"


def test_a_trained_sweep_of_5_by_5_by_5_works(browser, trained):
    tab, wrong = opened(browser, trained, 1280, "light")
    assert tab.locator("#members tbody tr").count() == 125
    images = "[...document.images].map(i => i.complete && i.naturalWidth > 0)"
    assert tab.evaluate(images) == [True] * 75, "25 settings, steps 0, 10, 20"
    assert tab.evaluate(f"{SHOWN}.map(i => i.dataset.step)") == ["20"] * 25
    tab.focus("#step")
    tab.keyboard.press("Home")
    assert tab.evaluate(f"{SHOWN}.map(i => i.dataset.step)") == ["0"] * 25
    heads = tab.locator("#members thead button").all_inner_texts()
    place = heads.index("final/loss/disc")
    tab.locator("#members thead button").nth(place).click()
    values = [float(v) for v in tab.evaluate(COLUMN, place)]
    assert values == sorted(values) and len(set(values)) > 100
    tab.select_option("#heat-value", label="final/loss/disc")
    assert "final/loss/disc" in tab.inner_text(".maps:visible caption")
    assert wrong == []
    tab.close()
