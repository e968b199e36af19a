"""A recogniser's experiment on the tiny NIV: features, programs for most of the training clips, in seconds."""

import json
from pathlib import Path

import yaml

from leaplan.data.niv import read_niv
from leaplan.programs.json_form import to_json
from leaplan.programs.language import LEAP
from leaplan.programs.parse import parse
from leaplan.programs.rows import Row, write_rows

VERBS = ("reach", "grasp", "move", "release")
STATES = {
    "reach": "[pre: free(right)] [post: near(right, A)]",
    "grasp": "[pre: near(right, A)] [post: holding(right, A), not free(right)]",
    "move": "[pre: holding(right, A)]",
    "release": "[pre: holding(right, A)] [post: not holding(right, A), free(right)]",
}


def write_programs(folder: Path, root: Path, skip: int = 5) -> Path:
    """Write a program for every clip but each `skip`-th: as many sub-actions as the step's number says."""
    rows = []
    for video in read_niv(root).videos:
        for segment in video.segments:
            thing = f"thing{segment.step % 3}"
            calls = " ".join(f"{verb}({thing}) right {STATES[verb]};" for verb in VERBS[: 1 + segment.step % 4])
            calls = calls.replace("A", thing)
            program = json.dumps(to_json(parse(f"program act({thing}) {{ {calls} }}", LEAP)))
            if len(rows) % skip:
                rows.append((segment, video, "ok", program))
            else:
                rows.append((segment, video, "failed", ""))
    write_rows(
        folder,
        lambda: (
            Row(s.id, v.split, v.id, s.start, s.stop, "", "", "", state, program) for s, v, state, program in rows
        ),
    )
    return folder / "programs.jsonl"


def leap_experiment(folder: Path, root: Path, anticipate: bool = False, programs: bool = True, epochs: int = 3) -> Path:
    """Write an experiment of the tiny NIV and return its file; runs lie beside it."""
    view = {"class_path": "leaplan.data.views.ActionClips"}
    if anticipate:
        settings = {"gap": 1.0, "context": 2, "window_frames": 30, "frame_rate": 10.0}
        view = {"class_path": "leaplan.data.views.AnticipationClips", "init_args": settings}
    source = {"folder": "processed_data", "rounding": "floor", "clip_rows": 3}
    data = {"view": view, "source": {"class_path": "leaplan.data.sources.Features", "init_args": source}}
    if programs:
        data["programs"] = {"file": str(write_programs(folder, root)), "slots": 4}
    probe = {"width": 16, "layers": 0, "heads": 2, "dropout": 0.0}
    model = {
        "backbone": {"class_path": "leaplan.recognition.backbones.FeatureProbe", "init_args": probe},
        "learning_rate": 0.01,
        "dropout": 0.0,
        "program_width": 16,
        "window_layers": 1,
        "program_dropout": 0.0,
        "window_dropout": 0.0,
    }
    content = {
        "name": "small",
        "runs": str(folder / "runs"),
        "root": str(root),
        "seed_everything": 5,
        "threads": 1,
        "batch_size": 8,
        "data": {"class_path": "leaplan.data.niv.Niv", "init_args": {"validation": 0.2, **data}},
        "model": {"class_path": "leaplan.recognition.module.RecognitionModule", "init_args": model},
        "trainer": {"accelerator": "cpu", "devices": 1, "max_epochs": epochs},
    }
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(content))
    return path
