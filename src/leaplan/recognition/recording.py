"""What an evaluation leaves in the run folder: figures with their protocol, scores, readable predictions."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leaplan.recognition.outcome import Recognised, print_table, write_predictions, write_scores
from leaplan.training.callbacks import cost_of
from leaplan.training.results import update_results

if TYPE_CHECKING:
    from leaplan.recognition.module import RecognitionModule

PROGRAM_NAMES = {
    "s_verb": "S-Verb",
    "object_a": "Obj(A)",
    "object_b": "Obj(B)",
    "set_f1": "set F1",
    "edit_score": "edit",
    "before_f1": "pre F1",
    "after_f1": "post F1",
}


def record(module: "RecognitionModule", split: str, outcome: Recognised, table: dict[str, dict[str, Any]]) -> None:
    """Write figures, protocol and scores into the run folder, and print the table."""
    if not module.trainer.is_global_zero:
        return
    run = Path(module.trainer.default_root_dir)
    write_files(module, split, outcome)
    task = "recognition" if module.problem.windows == 1 else "anticipation"
    sections = {
        "data": module.data.facts(),
        "protocol": _protocol(module, task),
        "metrics": {split: table},
        "cost": cost_of(module),
    }
    update_results(run, task, sections)
    print_table(split, table)
    if "programs" in table:
        scores = {name: table["programs"][key] for key, name in PROGRAM_NAMES.items()}
        shown = [f"{name} {100 * value:.1f}" for name, value in scores.items() if value is not None]
        print("programs: " + ", ".join(shown))
    print(f"results in {run / 'results.json'}", flush=True)


def write_files(module: "RecognitionModule", split: str, outcome: Recognised) -> Path:
    """Write the scores and the readable predictions of `split`; return the latter."""
    folder = Path(module.trainer.default_root_dir) / "predictions"
    clips, vocabulary = module.data.clips(split).clips, module.problem.vocabulary
    persons = {video.id: video.person for video in module.data.annotations.videos}
    write_scores(folder / f"{split}.npz", outcome, clips, vocabulary, persons)
    write_predictions(folder / f"{split}.jsonl", outcome, clips, vocabulary)
    return folder / f"{split}.jsonl"


def _protocol(module: "RecognitionModule", task: str) -> dict[str, Any]:
    data = module.data
    problem, vocabulary = module.problem, module.problem.vocabulary
    programs = problem.programs
    chosen_by = "action top-1" if problem.windows == 1 else "action mean top-5 recall"
    return {
        "classes": {
            "verb": len(vocabulary.verbs),
            "noun": len(vocabulary.nouns),
            "action": len(vocabulary.steps),
        },
        "observes": "the segment" if task == "recognition" else f"{problem.windows} windows before the segment",
        "gap_seconds": problem.gap,
        "window_frames": getattr(data.view, "window_frames", None),
        "context": None if problem.windows == 1 else module.context,
        "cached": module.cached,
        "features": data.source.describe(),
        "programs": None
        if programs is None or data.programs is None
        else {
            "file": data.programs.file,
            "slots": programs.slots,
            "verbs": len(programs.verbs),
            "objects": len(programs.objects),
            "conditions": len(programs.conditions),
        },
        "losses": module.loss_weights(),
        "started_from": module.start_from,
        "selected_on": f"val/{chosen_by}" if "val" in data.splits else "nothing: the last epoch",
        "seed": int(os.environ.get("PL_GLOBAL_SEED", "0")),
    }
