"""The page of `leaplan demo --serve` in a real Chromium: pick a film, mark start and goal, see plan and programs."""

import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from leaplan.demo import web
from leaplan.demo.kitchen import Film
from leaplan.errors import DataError
from leaplan.on_video.action_score import ActionScore
from leaplan.on_video.planned import Looked, Planned
from leaplan.on_video.readable import clock
from leaplan.on_video.recognised import Recognised, Window
from leaplan.programs.language import Program, SubAction
from tests.test_report_browser import DESKTOP, PHONE, browser  # noqa: F401, a fixture
from tests.video.made_videos import make_video

pytestmark = pytest.mark.slow
LABELS = ("crack egg", "pour milk", "whisk mixture", "fry egg")
SEGMENTS = ((0.2, 1.1, "crack egg"), (1.2, 2.1, "pour milk"), (2.2, 3.1, "whisk mixture"), (3.2, 3.9, "fry egg"))


class Stand:
    """Stands for a planner and a recogniser, whose answers other tests look at."""

    eyes = SimpleNamespace(reader="pyav")

    def plan(self, start, goal, video, top, timeout):
        if goal <= start:
            raise DataError("the goal is not after the start", "Mark another")
        looked = Looked((clock(start), clock(goal)), {"video": str(video)}, "colours")
        likely = tuple(((step, 0.7), (3, 0.3)) for step in range(3))
        others = (((0, 1, 2), 0.61), ((0, 1, 3), 0.2))
        return Planned("run", looked, LABELS, "viterbi", (0, 1, 2), 0.61, {"viterbi": (0, 1, 2)}, others, likely, "")

    def recognise(self, video, timeout):
        program = Program("crack", ("egg",), ("bowl",), (), (SubAction("reach", "egg"), SubAction("grasp", "egg")))
        windows = tuple(Window(n, n + 1, "fused", {"fused": [(LABELS[n], 0.5)]}, program) for n in range(3))
        return Recognised("run", video, ActionScore("fused", {"fused": 0.5, "action": 0.4}), windows)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The page's address, and a folder with a film that no one has picked yet."""
    pytest.importorskip("gradio", reason="the extra demo is not installed")
    folder = tmp_path_factory.mktemp("films")
    paths = [make_video(folder / f"{name}.mp4", frames=100) for name in ("P1_1", "P1_2", "own")]
    films = [Film(paths[0], "P1_1: tea", SEGMENTS[1:]), Film(paths[1], "P1_2: omelette", SEGMENTS)]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(web.leaplan, "load", lambda _: Stand())
        page = web.serve(Path("planner"), Path("recogniser"), films, port, wait=False)
        yield f"http://127.0.0.1:{port}/", folder
        page.close()


@pytest.fixture
def opened(browser, served):  # noqa: F811, the fixture of that name
    """Open the page; its console errors and requests to anything but this machine are collected."""
    contexts = []

    def open_page(size=DESKTOP, scheme="light"):
        context = browser.new_context(viewport=size, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.faults, page.strangers = [], []
        page.on("console", lambda said: page.faults.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on("request", lambda asked: None if is_own(asked.url, served[0]) else page.strangers.append(asked.url))
        page.goto(served[0])
        page.get_by_role("button", name="Plan from start to goal").wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()


def is_own(url, page):
    return url.startswith((page, "data:", "blob:"))


def mark(page, name, seconds):
    """Write a time beside a slider, as a user does."""
    number = page.get_by_label(f"number input for {name}, seconds")
    number.fill(str(seconds))
    number.press("Enter")


def shown(page, name, seconds):
    """Wait until a slider stands at a time."""
    number = f"[aria-label='number input for {name}, seconds']"
    page.wait_for_function(f'document.querySelector("{number}").value == {seconds}')


def plan(page):
    page.get_by_role("button", name="Plan from start to goal").click()


def test_a_film_is_picked_and_marked_and_its_plan_and_programs_are_shown(opened, served):
    page = opened()
    page.get_by_label("film", exact=True).first.click()
    page.get_by_role("option", name="P1_2: omelette").click()
    shown(page, "start", 0.2)
    plan(page)
    page.locator(".plan .sure", has_text="3 steps from 0:00.2 to 0:03.1, probability 61 %").wait_for()
    assert page.locator(".plan .name").all_inner_texts() == list(LABELS[:3])
    assert "crack egg, then pour milk, then whisk mixture" in page.locator(".plan").inner_text()
    before = page.locator(".picture img").first.get_attribute("src")
    mark(page, "start", 1.2)
    page.wait_for_function("src => document.querySelector('.picture img').src != src", arg=before)
    plan(page)
    page.locator(".plan .sure", has_text="from 0:01.2 to 0:03.1").wait_for()
    page.get_by_role("button", name="Recognise actions and programs").click()
    page.locator(".along details").first.wait_for()
    assert page.locator(".along details").count() == 3
    assert "fused with the action head, the best on validation: 50 % right" in page.locator(".along").inner_text()
    page.locator(".along summary").first.click()
    assert page.locator(".leap-program").first.is_visible()
    assert (page.faults, page.strangers) == ([], [])


def test_a_film_of_ones_own_is_taken_and_a_mistake_is_told(opened, served):
    page = opened()
    page.get_by_label("Clear").first.click()
    page.locator("input[type=file]").first.set_input_files(served[1] / "own.mp4")
    shown(page, "goal", 3.6)
    plan(page)
    page.locator(".plan .sure", has_text="from 0:00.4 to 0:03.6").wait_for()
    assert "what was done" not in page.locator(".plan").inner_text()
    mark(page, "goal", 0.1)
    plan(page)
    page.get_by_text("the goal is not after the start").wait_for()
    assert (page.faults, page.strangers) == ([], [])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_it_is_never_wider_than_the_screen_and_all_is_readable(opened, scheme):
    page = opened(PHONE, scheme)
    plan(page)
    page.locator(".plan .sure").wait_for()
    page.get_by_role("button", name="Recognise actions and programs").click()
    page.locator(".along details").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert page.locator(".plan .bar").first.bounding_box()["width"] > 40  # of 70 %
    assert page.locator(".along .calls").first.bounding_box()["width"] > PHONE["width"] / 3
    assert (page.faults, page.strangers) == ([], [])
