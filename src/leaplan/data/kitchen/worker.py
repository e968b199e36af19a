"""Makes videos of a kitchen, one after the other: `python -m leaplan.data.kitchen.worker` makes a share.

A process of its own, not a fork: it imports neither torch nor the program that asked for it. It says
"made <video>" per line, and dies when nobody listens any more.
"""

import argparse
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from leaplan.data.kitchen.cast import Role, cast
from leaplan.data.kitchen.evidence import evidence
from leaplan.data.kitchen.files import (
    evidence_of,
    features_of,
    film_of,
    has_video,
    write_compact_json,
)
from leaplan.data.kitchen.film import write_film
from leaplan.data.kitchen.layout import lay_out
from leaplan.data.kitchen.render import Frame, Renderer, Shot
from leaplan.data.kitchen.simulate import simulate
from leaplan.data.kitchen.staging import Stage
from leaplan.video.color_layout import ColorLayout
from leaplan.writing import write_bytes, write_whole

FRAMES_PER_SAMPLE = 5  # boxes and camera are told twice per second
FAILED = 3  # exit status after an error that was told in one line


def main() -> int:
    """Make every `of`-th video from `share` on that is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    for name in ("seed", "videos", "share", "of"):
        parser.add_argument(name, type=int)
    told = parser.parse_args()
    try:
        for role in make_videos(told.folder, cast(told.seed, told.videos)[told.share :: told.of]):
            _say(f"made {role.id}")
    except BrokenPipeError:
        return FAILED
    except OSError as error:
        _say(f"failed {error}")
        return FAILED
    return 0


def _say(line: str) -> None:
    """Write a line at once: workers share one pipe, and a short write is never torn apart."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def make_videos(folder: Path, roles: list[Role]) -> Iterator[Role]:
    """Make the videos of `roles` that are not in `folder` yet, yielding each one made.

    Raises:
        OSError: A file cannot be written.
    """
    for role in roles:
        if not has_video(folder, role):
            make_video(folder, role)
            yield role


def make_video(folder: Path, role: Role) -> None:
    """Write film, evidence and features of one video.

    The features are those of the film as decoded again, so they see what any reader of it sees.
    """
    episode = simulate(role)
    film, shots = film_of(folder, role.id), list[Shot]()
    renderer = Renderer(Stage(episode, lay_out(episode)))
    write_whole(film, lambda partial: write_film(_frames(renderer, shots), partial))
    write_compact_json(evidence_of(folder, role.id), evidence(episode, shots))
    features = io.BytesIO()
    np.save(features, ColorLayout().per_second(film))
    write_bytes(features_of(folder, role.id), features.getvalue())


def _frames(renderer: Renderer, shots: list[Shot]) -> Iterator[Frame]:
    """Yield all frames; keep every fifth shot in `shots`, for the boxes and the camera's track."""
    for index, shot in enumerate(renderer.shots()):
        if index % FRAMES_PER_SAMPLE == 0:
            shots.append(shot)
        yield shot.frame


if __name__ == "__main__":
    sys.exit(main())
