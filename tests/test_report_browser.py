"""The page of `leaplan report` in a real Chromium: quiet, offline, quick, and fit for phones."""

import json
import shutil

import numpy as np
import pytest

from leaplan.on_runs.report import main
from leaplan.programs.rows import write_rows
from tests.made_runs import records, write_run
from tests.report.test_program_view import row

pytestmark = pytest.mark.slow
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium, started once."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def opened(browser):
    """Open a page; its console errors and requests to anything but itself are collected."""
    contexts = []

    def open_page(file, size=DESKTOP, scheme="light", fragment=""):
        context = browser.new_context(viewport=size, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.faults, page.requests = [], []
        page.on("console", lambda said: page.faults.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on("request", lambda request: page.requests.append(request.url))
        page.goto(file.resolve().as_uri() + fragment)
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """The page of two planners, and of a folder of programs."""
    folder = tmp_path_factory.mktemp("runs")
    runs = [write_run(folder / f"{name}-seed{seed}", seed) for name in ("a", "b") for seed in (1, 2)]
    write_rows(folder / "programs", lambda: [row("clip 1"), row("clip 2", "invalid", "")])
    out = folder / "page.html"
    assert main([*map(str, runs), str(folder / "programs"), "--out", str(out), "--bootstrap", "100"]) == 0
    return out


def draw_everything(page):
    """Scroll down every group until all its plots are drawn."""
    for group in range(page.evaluate("CONTENT.groups.length")):
        page.evaluate(f"showGroup({group})")
        for figure in page.query_selector_all(f"#g{group} figure.plot"):
            figure.scroll_into_view_if_needed()
            figure.wait_for_selector(".drawing[data-drawn] svg")
        for graph in page.query_selector_all(f"#g{group} .graph"):
            page.evaluate("element => element.parentElement.scrollIntoView()", graph)
            graph.wait_for_selector("svg circle")


def busy_seconds(session):
    """How long the page's main thread has worked."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return next(each["value"] for each in metrics if each["name"] == "TaskDuration")


def own_only(page):
    return [url for url in page.requests if not url.startswith(("file:", "data:", "blob:"))]


@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")])
def test_it_is_drawn_without_an_error_or_the_network_and_never_wider_than_the_screen(opened, page_file, size, scheme):
    page = opened(page_file, size, scheme)
    draw_everything(page)
    for group in range(2):
        page.evaluate(f"showGroup({group})")
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert (page.faults, own_only(page)) == ([], [])


def test_filters_search_and_pages_find_samples(opened, page_file):
    page = opened(page_file)
    first = "#g0 .widget[data-widget=samples]"

    def count():
        return int(page.inner_text(f"{first} .count").split()[0])

    said = records(seed=1)
    right = sum(r["steps"] == r["plans"]["viterbi"] for r in said)
    assert count() == len(said) == 48
    page.select_option(f"{first} label:has-text('outcome') select", "right")
    assert count() == right
    assert page.locator(f"{first} .sample .badge.bad").count() == 0
    page.select_option(f"{first} label:has-text('outcome') select", "")
    page.select_option(f"{first} label:has-text('task') select", label="making tea")
    assert count() == sum(r["task"] == "making tea" for r in said)
    page.fill(f"{first} input[type=search]", "V2:3+3")
    assert count() == 1
    assert page.inner_text(f"{first} .sample header a") == "v2:3+3"
    page.fill(f"{first} input[type=search]", "no such step")
    assert "Nothing fits" in page.inner_text(first)
    page.fill(f"{first} input[type=search]", "")
    page.click(f"{first} .pager >> nth=0 >> text=next")
    assert "page 2 of 3" in page.inner_text(f"{first} .count >> nth=0")
    assert page.faults == []


def test_the_surest_mistake_comes_first_and_shows_its_alternatives(opened, page_file):
    page = opened(page_file)
    wrong = [r for r in records(seed=1) if r["steps"] != r["plans"]["viterbi"]]
    surest = max(wrong, key=lambda r: r["probability"])
    card = page.locator(".sample").first
    assert card.get_attribute("data-sample") == surest["sample_id"]
    card.locator("summary").click()  # what it opens is built by the browser's next event
    card.locator("text=Likely plans of this run").wait_for()
    assert "b-seed2" in card.inner_text()


def test_a_link_opens_its_sample(opened, page_file):
    page = opened(page_file, fragment="#g0/v5:7+3")
    assert page.get_attribute(".sample.linked", "data-sample") == "v5:7+3"
    assert page.locator(".sample.linked").is_visible()
    page.locator(".sample.linked >> text=on the graph").click()
    page.wait_for_selector("#g0 .graph path.truth")
    assert page.faults == []


def test_conditions_light_up_along_a_program(opened, page_file):
    page = opened(page_file)
    page.click("text=Programs, language")
    card = page.locator("#g1 .sample").first
    assert "1 of 4: reach(door) right" in card.inner_text().replace("\u200b", "")
    card.locator(".action >> nth=2").click()
    assert "Then: open(door)." in card.inner_text()
    assert card.locator(".state.now").count() == 3  # near, holding, open


def test_dark_follows_the_system_and_the_switch_is_remembered(opened, page_file):
    page = opened(page_file, scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.click("#theme")
    light = page.evaluate(ground)
    assert (dark, light) == ("rgb(18, 23, 29)", "rgb(255, 255, 255)")
    page.reload()
    assert page.evaluate(ground) == light


def test_five_thousand_samples_load_in_three_seconds_and_twenty_megabytes(opened, page_file, tmp_path):
    lines = records(samples=5000)
    rng = np.random.default_rng(1)
    for line in lines:  # as long as real ones: five alternatives, names of a sentence
        plans = rng.integers(0, 9, (5, 3)).tolist()
        line["alternatives"] = [{"plan": plan, "probability": 0.123456} for plan in plans]
        line["sentence"] = json.dumps(["Continue to microwave for 15-30 more seconds or until the egg is set"] * 3)
        line["plans"] |= dict.fromkeys(("generate", "trie", "retrieve"), plans[0])
    out = tmp_path / "page.html"
    main([str(write_run(tmp_path / "run", lines=lines)), "--out", str(out), "--bootstrap", "50"])
    assert out.stat().st_size < 20e6
    page = opened(page_file)  # any page: measuring begins before the large one is loaded
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})  # processor time: other tests may run beside
    before = busy_seconds(session)
    page.goto(out.resolve().as_uri())
    page.wait_for_selector(".sample")
    assert busy_seconds(session) - before < 3
    assert page.inner_text(".count >> nth=0").startswith("5,000 of 5,000")
    before = busy_seconds(session)
    page.fill("input[type=search]", "v77:3+3")
    assert page.locator(".sample").count() == 1
    assert busy_seconds(session) - before < 1
    assert page.faults == []
