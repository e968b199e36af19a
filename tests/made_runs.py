"""Run folders as `leaplan fit` leaves them, made of random plans, for the page of `leaplan report`."""

import json
from pathlib import Path

import numpy as np
import yaml

CLASSES = 9
TASKS = ("making tea", "fixing bike")


def records(samples=48, horizon=3, accuracy=0.6, seed=0, name="step {}"):
    """What predictions/test.jsonl holds: eight windows per video, the same truth for every seed."""
    truth, noise = np.random.default_rng(5), np.random.default_rng(100 + seed)
    found = []
    for i in range(samples):
        steps = truth.integers(0, CLASSES, horizon)
        plans = {
            decoding: np.where(noise.random(horizon) < accuracy, steps, noise.integers(0, CLASSES, horizon))
            for decoding in ("argmax", "viterbi")
        }
        probability = round(float(noise.random()), 6)
        viterbi = plans["viterbi"].tolist()
        found.append(
            {
                "sample_id": f"v{i // 8}:{i % 8}+{horizon}",
                "video": f"v{i // 8}",
                "task": TASKS[i // 8 % 2],
                "steps": steps.tolist(),
                "step_names": [name.format(step) for step in steps],
                "plans": {decoding: plan.tolist() for decoding, plan in plans.items()},
                "top_5": [[int(step), 20, 21, 22, 23] for step in plans["argmax"]],
                "log_probability": -1.5,
                "seen_in_training": i % 3 == 0,
                "probability": probability,
                "alternatives": [{"plan": viterbi, "probability": probability}],
                "sentence": json.dumps([name.format(step) for step in viterbi]),
            }
        )
    return found


def write_run(folder: Path, seed=0, horizon=3, lines=None, **more):
    """Write a run of a planner without config.yaml, so that no dataset is looked for; return its folder."""
    lines = records(horizon=horizon, seed=seed, **more) if lines is None else lines
    (folder / "predictions").mkdir(parents=True)
    write_lines(folder, lines)
    results = {
        "schema": 1,
        "leaplan": "0.1.0",
        "task": "planning",
        "run": folder.name,
        "data": {
            "dataset": "made",
            "protocol": "official",
            "sha256": "ab",
            "samples": {"test": len(lines)},
            "notes": [],
        },
        "protocol": {"horizon": horizon, "classes": CLASSES, "observes": ["start", "goal"], "task_given": False}
        | {"seed": seed, "selected_on": "val/viterbi/success_rate"},
        "metrics": {"test": {"viterbi": {"success_rate": 0.25}}},
        "cost": {"seconds": 12.5, "parameters": {"total": 1234, "trainable": 1000}, "peak_memory_mb": 321.0},
        "environment": {"python": "3.11", "torch": "2.15", "device": "cpu", "git": "abc"},
    }
    (folder / "results.json").write_text(json.dumps(results))
    (folder / "metrics.csv").write_text("epoch,step,train/loss,val/selection\n0,5,3.5,\n1,10,2.5,0.25\n")
    return folder


def write_lines(folder: Path, lines, split="test"):
    """Write the predictions of a run."""
    path = folder / "predictions" / f"{split}.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def write_config(folder: Path, root: Path, view: str, **data):
    """Give a run a config.yaml that names the tiny NIV below `root`."""
    source = {
        "class_path": "leaplan.data.sources.Features",
        "init_args": {"folder": "processed_data", "rounding": "floor"},
    }
    settings = {"view": {"class_path": f"leaplan.data.views.{view}"}, "source": source, "validation": 0.2, **data}
    content = {"root": str(root), "horizon": 3, "data": {"class_path": "leaplan.data.niv.Niv", "init_args": settings}}
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
