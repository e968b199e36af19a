"""What an evaluation leaves in the run folder: figures with their protocol, and plans."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leaplan.planning.outcome import Plans, print_table, write_predictions
from leaplan.training.callbacks import cost_of
from leaplan.training.results import read_results, update_results

if TYPE_CHECKING:
    from leaplan.planning.module import PlanningModule


def record(module: "PlanningModule", split: str, plans: Plans, table: dict[str, dict[str, Any]]) -> None:
    """Write figures, protocol and plans into the run folder, and print the table."""
    if not module.trainer.is_global_zero:
        return
    run = Path(module.trainer.default_root_dir)
    write_plans(module, split, plans)
    update_results(run, "planning", _sections(module, split, table))
    _write_adapter(module, run / "adapter")
    print_table(split, table)
    print(f"results in {run / 'results.json'}", flush=True)


def write_plans(module: "PlanningModule", split: str, plans: Plans) -> Path:
    """Write the plans of `split`, and return the file."""
    path = Path(module.trainer.default_root_dir) / "predictions" / f"{split}.jsonl"
    windows = module.data.windows(split)
    reader = module.network.attend if module.network else None
    read = str if reader is None or reader.language is None else reader.language.model.text
    write_predictions(path, plans, windows.windows, windows.seen_in_training, module.target, read)
    return path


def _write_adapter(module: "PlanningModule", folder: Path) -> None:
    """Write the language model's adapter as `peft` reads it."""
    reader = module.network.attend if module.network else None
    if reader is not None and reader.language is not None and reader.language.model.learns == "lora":
        reader.language.model.save_adapter(folder)


def _sections(module: "PlanningModule", split: str, table: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what `results.json` says about this evaluation."""
    return {
        "data": module.data.facts(),
        "protocol": _protocol(module),
        "metrics": {split: table},
        "cost": cost_of(module),
    }


def _protocol(module: "PlanningModule") -> dict[str, Any]:
    reader = module.network.attend if module.network else None
    language = reader.language if reader is not None else None
    return {
        "horizon": module.problem.horizon,
        "classes": len(module.problem.vocabulary.steps),
        "observes": ["start", "goal"],
        "task_given": False,
        "features": {"dim": module.problem.width, "seconds": module.problem.seconds, **module.data.source.describe()},
        "descriptions": module.descriptions.identity,
        "language_model": language.model.identity if language is not None else None,
        "step_queries": reader is not None and reader.queries is not None,
        "first_stage": module.aligned_from or f"{module.align_epochs} epochs",
        "learns_from": module.network.learns_from if module.network else [],
        "transitions": {"of": "training part", "smoothing": module.smoothing, "sharpen": module.sharpen},
        "selected_on": " + ".join(f"val/{name}/success_rate" for name in module.select) + ", then mean_accuracy",
        "seed": int(os.environ.get("PL_GLOBAL_SEED", "0")),
    }


def fitted_exponent(run: Path) -> float | None:
    """Return the exponent of step probabilities that was fitted when the run was validated, None if none was."""
    metrics = read_results(run).get("metrics", {})
    fitted = metrics.get("val", {}).get("calibration", {}).get("exponent")
    return None if fitted is None else float(fitted)
