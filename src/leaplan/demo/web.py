"""A page on this machine: pick a film or upload one, mark start and goal, and see the plan and the programs."""

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import leaplan
from leaplan.demo.fragments import STYLE, along_html, plan_html
from leaplan.demo.kitchen import Film
from leaplan.errors import ConfigError, UserError

ALTERNATIVES = 5
TIMEOUT = 60.0  # seconds for a run of frames
NEAR = 0.5  # seconds by which a step may be beyond the marks and still count as between them
INTRODUCTION = """# leaplan
Pick a film of the synthetic kitchen that no run was trained on, or upload one. Mark where to start and what to reach:
the planner sees these two moments only. Simulated films say that the software works, not how well it plans."""


def serve(planner: Path, recogniser: Path, films: Sequence[Film], port: int, wait: bool = True) -> Any:
    """Serve the page at 127.0.0.1 until it is interrupted. Nothing leaves this machine.

    Without `wait` the page, a `gradio.Blocks`, is returned at once; its `close()` ends it.

    Raises:
        UserError: A run cannot be opened, the port is taken, or as `refuse_absent`.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    refuse_absent()
    import gradio

    page = build(gradio, Asked(planner, recogniser, films))
    theme = gradio.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    print(f"open http://127.0.0.1:{port}   (Ctrl-C ends it)", flush=True)
    try:
        page.launch(
            server_name="127.0.0.1",
            server_port=port,
            share=False,
            quiet=True,
            prevent_thread_lock=not wait,
            theme=theme,
            css=STYLE,
            footer_links=[],
            allowed_paths=[str(films[0].path.parent)] if films else [],
        )
    except OSError as error:
        what = f"port {port} is taken, or cannot be used"
        raise ConfigError(what, f"Choose another:  leaplan demo --serve --port {port + 1}") from error
    return page


def refuse_absent() -> None:
    """Check that Gradio is installed.

    Raises:
        ConfigError: It is not.
    """
    if find_spec("gradio") is None:
        raise ConfigError("the page needs Gradio, which is not installed", "pip install 'leaplan[demo]'")


class Asked:
    """Both runs, opened once, and what they are asked.

    Args:
        planner, recogniser: Folders of runs on the kitchen.
        films: Those that can be picked.
    """

    def __init__(self, planner: Path, recogniser: Path, films: Sequence[Film]) -> None:
        self.films = {film.name: film for film in films}
        self.planner, self.recogniser = leaplan.load(planner), leaplan.load(recogniser)
        self.reader = self.planner.eyes.reader

    def length(self, video: Path) -> float:
        """Return seconds, to a tenth that is within the video."""
        from leaplan.video.reader import open_video

        with open_video(video, self.reader, timeout=TIMEOUT) as opened:
            return int(10 * opened.duration) / 10

    def frame(self, video: Path, time: float) -> Any:
        """Return the picture at `time` seconds, uint8 (H, W, 3)."""
        from leaplan.video.reader import open_video

        with open_video(video, self.reader, timeout=TIMEOUT) as opened:
            return opened.frames_at([min(time, opened.duration)])[0]

    def plan(self, video: Path, name: str | None, start: float, goal: float) -> str:
        """Return the plan from `start` to `goal` seconds as HTML; `name` is that of a film of the kitchen.

        Raises:
            UserError: The marks or the video cannot be used.
        """
        planned = self.planner.plan(start, goal, video, top=ALTERNATIVES, timeout=TIMEOUT)
        return plan_html(planned, self._done(name, start, goal))

    def _done(self, name: str | None, start: float, goal: float) -> list[str]:
        """Return what is done between the marks in a film of the kitchen."""
        segments = self.films[name].segments if name else ()
        return [text for begin, end, text in segments if begin > start - NEAR and end < goal + NEAR]

    def recognise(self, video: Path, name: str | None) -> str:
        """Return the actions and programs along a video as HTML; `name` is that of a film of the kitchen.

        Raises:
            UserError: It cannot be read.
        """
        recognised = self.recogniser.recognise(video, timeout=TIMEOUT)
        return along_html(recognised, self.films[name].segments if name else ())


# --- the page


def build(gradio: Any, asked: Asked) -> Any:
    """Return the page, a `gradio.Blocks`."""
    first = next(iter(asked.films.values()))
    start, goal, _ = first.question
    length = asked.length(first.path)
    with gradio.Blocks(title="leaplan", analytics_enabled=False, delete_cache=(600, 3600)) as page:
        gradio.Markdown(INTRODUCTION)
        with gradio.Row():
            with gradio.Column(scale=1, min_width=300):
                film = gradio.Dropdown(list(asked.films), value=first.name, label="film", filterable=True)
                video = gradio.Video(str(first.path), label="or drop your own here", sources=["upload"], height=249)
            with gradio.Column(scale=2, min_width=300), gradio.Row():
                with gradio.Column(min_width=240):
                    begins = gradio.Slider(0, length, start, step=0.01, label="start, seconds")
                    before = _picture(gradio, asked.frame(first.path, start), "what is so at the start")
                with gradio.Column(min_width=240):
                    ends = gradio.Slider(0, length, goal, step=0.01, label="goal, seconds")
                    after = _picture(gradio, asked.frame(first.path, goal), "what is to be reached")
        with gradio.Row():
            with gradio.Column(min_width=300):
                ask_plan = gradio.Button("Plan from start to goal", variant="primary")
                plan = gradio.HTML(elem_classes="answer")
            with gradio.Column(min_width=300):
                ask_actions = gradio.Button("Recognise actions and programs", variant="primary")
                actions = gradio.HTML(elem_classes="answer")
        told = _Told(gradio, asked)
        marks = [begins, ends, before, after, plan, actions]
        film.input(told.picked, film, [video, *marks])
        video.upload(told.uploaded, video, [film, *marks])
        for mark, picture in ((begins, before), (ends, after)):
            mark.change(told.frame, [video, mark], picture, show_progress="hidden", trigger_mode="always_last")
        ask_plan.click(told.plan, [video, film, begins, ends], plan)
        ask_actions.click(told.recognise, [video, film], actions)
    return page


def _picture(gradio: Any, frame: Any, label: str) -> Any:
    return gradio.Image(frame, label=label, interactive=False, height=260, buttons=[], elem_classes="picture")


class _Told:
    """What the page does; a user's mistake is shown on it."""

    def __init__(self, gradio: Any, asked: Asked) -> None:
        self.gradio, self.asked = gradio, asked

    def picked(self, name: str) -> list[Any]:
        """Show a film of the kitchen, with the marks around its first steps."""
        film = self.asked.films[name]
        start, goal, _ = film.question
        return [str(film.path), *self._marked(film.path, start, goal)]

    def uploaded(self, path: str) -> list[Any]:
        """Show a film of the user's, with the marks at a tenth and nine tenths of it."""
        try:
            length = self.asked.length(Path(path))
            return [None, *self._marked(Path(path), round(0.1 * length, 1), round(0.9 * length, 1))]
        except UserError as error:
            raise self._mistake(error) from error

    def _marked(self, video: Path, start: float, goal: float) -> list[Any]:
        length = self.asked.length(video)
        sliders = [self.gradio.Slider(maximum=length, value=value) for value in (start, goal)]
        return [*sliders, self.asked.frame(video, start), self.asked.frame(video, goal), "", ""]

    def frame(self, path: str | None, time: float) -> Any:
        """Show the picture at a mark."""
        try:
            return self.asked.frame(Path(path), time) if path else None
        except UserError as error:
            raise self._mistake(error) from error

    def plan(self, path: str | None, name: str | None, start: float, goal: float) -> str:
        """Show the plan."""
        return self._answer(path, lambda video: self.asked.plan(video, name, start, goal))

    def recognise(self, path: str | None, name: str | None) -> str:
        """Show actions and programs."""
        return self._answer(path, lambda video: self.asked.recognise(video, name))

    def _mistake(self, error: UserError) -> Exception:
        """Return what is shown on the page, and not as a traceback in the terminal."""
        return self.gradio.Error(str(error), print_exception=False)  # type: ignore[no-any-return]

    def _answer(self, path: str | None, ask: Any) -> str:
        if not path:
            raise self._mistake(UserError("there is no film: pick one, or upload one"))
        try:
            return str(ask(Path(path)))
        except UserError as error:
            raise self._mistake(error) from error
