"""The kitchen that the demo is about, and the film of it that no run was trained on."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leaplan.data.kitchen import files

SEED = 7
STEPS = 3  # planned by the demo's planner


@dataclass(frozen=True)
class Film:
    """A film of the kitchen with what was done in it.

    Args:
        path: The video file.
        name: What people call it.
        segments: Start and stop in seconds, and what is done.
    """

    path: Path
    name: str
    segments: tuple[tuple[float, float, str], ...]

    @property
    def question(self) -> tuple[float, float, list[str]]:
        """When the first `STEPS` steps begin and end, as training sees it, and what they are."""
        asked = self.segments[:STEPS]
        return asked[0][0], asked[-1][1], [text for _, _, text in asked]


def kitchen_of(root: Path, videos: int) -> Path:
    """Return the folder of the kitchen, which may not be there yet."""
    return files.folder_of(root, SEED, videos)


def is_made(folder: Path) -> bool:
    """Tell whether a kitchen is complete."""
    return (folder / files.MARKER).is_file()


def held_out(folder: Path) -> list[Film]:
    """Return the films of persons that no run has seen in training."""
    content: dict[str, Any] = json.loads((folder / files.ANNOTATIONS).read_text(encoding="utf-8"))
    tasks = content["vocabulary"]["tasks"]
    return [
        Film(
            files.film_of(folder, video["id"]),
            f"{video['id']}: {tasks[int(video['task'])]}",
            tuple((float(s["start"]), float(s["stop"]), str(s["text"])) for s in video["segments"]),
        )
        for video in content["videos"]
        if video["split"] == "test" and len(video["segments"]) >= STEPS
    ]
