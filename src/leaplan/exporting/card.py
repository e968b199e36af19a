"""The model card of an exported model: what it is, its figures with their protocol, what it may be used for.

All of it is told by `results.json` and the weights' own description. Nothing is claimed that was not measured.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

import leaplan

OF_DATA = {
    "synthetic": "The synthetic kitchen is made by leaplan itself, under leaplan's licence, Apache-2.0.",
    "epic_kitchens": "EPIC-KITCHENS-100 is CC BY-NC 4.0: for research, not for commercial use.",
    "coin": "COIN's annotations are CC BY-NC 4.0: not for commercial use; for videos see the authors' page.",
    "captaincook4d": "CaptainCook4D is Apache-2.0, its repository of annotations MIT.",
    "crosstask": "No licence file accompanies CrossTask's annotations and splits: see the authors' page.",
    "niv": "No licence file accompanies NIV's annotations and splits: see the authors' page.",
}
"""What is known, from the places that docs/data.md names. Features may have terms of their own."""
NOT_TOLD = "leaplan does not know the licence of {}, nor whether it covers models. Read the terms of the dataset."
OWN_BASE = "The small language model was trained on the step names of these data, by the run itself, and is included."
DECODINGS = ("viterbi", "argmax", "generate", "trie", "retrieve", "recognition", "action_head", "fused", "recall")
FIGURES = {
    "planning": ("success_rate", "mean_accuracy", "mean_iou"),
    "recognition": ("verb_top1", "noun_top1", "action_top1", "action_top5", "action_mt5r", "overall_action_mt5r"),
}
LIMITS = {
    "planning": (
        "It plans exactly as many steps as it was trained to, of the classes in `problem.json`, whatever the pictures "
        "show.",
        "It sees start and goal only, through the encoder that made the features that it was trained on.",
        "Probabilities were calibrated on validation videos of the same dataset; elsewhere they mean less.",
    ),
    "recognition": (
        "It names one of the classes in `problem.json`, whatever the clip shows.",
        "Programs are predictions from pixels, learnt from generated programs; nobody has checked them against videos.",
    ),
}


def model_card(results: Mapping[str, Any], about: Mapping[str, Any], folder: Path, onnx: str = "") -> str:
    """Return the text of README.md, with the hub's front matter.

    Args:
        results: Content of results.json; {} for a run that was never evaluated.
        about: What the weights were trained for.
        folder: The exported folder, which tells whether a language model is included.
        onnx: What is told of model.onnx, "" without.
    """
    name, task = results.get("run", folder.name), about["task"]
    parts = [
        _front_matter(results, about, name),
        f"# {name}",
        _what(results, about),
        _usage(about),
        *([f"`model.onnx` takes any number B of samples. {onnx}."] if onnx else []),
        "## Figures",
        _figures(results, task),
        "## Protocol",
        _protocol(results),
        "## Limits",
        "\n".join(f"- {line}" for line in [*LIMITS[task], *results.get("data", {}).get("notes", [])]),
        "## Licences",
        _licences(results, about, folder),
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(results: Mapping[str, Any], about: Mapping[str, Any], name: str) -> str:
    base = _base(about)
    index = _model_index(results, about["task"], name)
    told = {
        "library_name": "leaplan",
        "license": "other",
        "license_name": "see-below",
        **({"pipeline_tag": "video-classification"} if about["task"] == "recognition" else {}),
        "tags": ["leaplan", "procedure-planning" if about["task"] == "planning" else "action-recognition"],
        **({"base_model": base} if base and base.count("/") == 1 else {}),
        **({"model-index": index} if index else {}),
    }
    return f"---\n{yaml.safe_dump(told, sort_keys=False, allow_unicode=True)}---"


def _model_index(results: Mapping[str, Any], task: str, name: str) -> list[dict[str, Any]]:
    """Return the hub's list of figures, [] without any."""
    data, found = results.get("data", {}), list(_rows(results, task))
    if not found:
        return []
    split = _split(results)
    dataset = {"name": data["dataset"], "type": data["dataset"], "config": data["protocol"], "split": split}
    kind = {"type": "other", "name": "procedure planning"} if task == "planning" else {"type": "video-classification"}
    metrics = [
        {"type": figure, "value": round(value, 6), "name": f"{figure} ({decoding})"}
        for decoding, figure, value in found
    ]
    return [{"name": name, "results": [{"task": kind, "dataset": dataset, "metrics": metrics}]}]


def _what(results: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    data = results.get("data", {})
    known = about["for"]
    trained = f", trained by leaplan {results['leaplan']} on {data['dataset']}" if results else ""
    if about["task"] == "planning":
        return (
            f"A planner (PlanLLM): from a start and a goal to the {known['horizon']} steps between them, of "
            f"{len(known['steps'])} classes{trained}."
        )
    what = "An anticipator (LEAP): it looks before an action" if known["windows"] > 1 else "A recogniser (LEAP)"
    classes = ", ".join(f"{len(known[kind])} {kind}" for kind in ("verbs", "nouns", "actions") if known[kind])
    slots = known["program slots"]
    return f"{what}; {classes}{f', programs of up to {slots} sub-actions' if slots else ''}{trained}."


def _usage(about: Mapping[str, Any]) -> str:
    call = 'plan("0:12", "0:31", "video.mp4")' if about["task"] == "planning" else 'recognise("video.mp4")'
    if about["for"].get("windows", 1) > 1:
        call = "network(clips, window_mask)  # (N, W, 3, T, H, W') or (N, W, S, D), and (N, W)"
    return (
        f'```python\nimport leaplan  # {leaplan.__version__}\n\nmodel = leaplan.load("this folder")\nmodel.{call}\n```'
    )


# --- figures


def _split(results: Mapping[str, Any]) -> str:
    metrics = results.get("metrics", {})
    return next((split for split in ("test", "val") if split in metrics), "")


def _rows(results: Mapping[str, Any], task: str) -> Iterator[tuple[str, str, float]]:
    """Yield decoding, name and value of what is told."""
    table = results.get("metrics", {}).get(_split(results), {})
    for decoding in DECODINGS:
        for figure in FIGURES[task]:
            value = table.get(decoding, {}).get(figure)
            if value is not None:
                yield decoding, figure, float(value)


def _figures(results: Mapping[str, Any], task: str) -> str:
    found = list(_rows(results, task))
    if not found:
        return "The run was never evaluated: there are no figures."
    data, split = results["data"], _split(results)
    what = "windows" if task == "planning" else "clips"
    lines = [
        f"Of the {split} split of {data['dataset']}, protocol {data['protocol']}, {data['samples'][split]} {what}, "
        f"computed on {results['environment']['device']}. One run: no interval is told here.",
        "",
        "| of | figure | % |",
        "|---|---|---|",
    ]
    return "\n".join(lines + [f"| {of} | {figure} | {100 * value:.2f} |" for of, figure, value in found])


def _protocol(results: Mapping[str, Any]) -> str:
    if not results:
        return "Not told: the run was never evaluated."
    told = {**results["protocol"], "samples": results["data"]["samples"], "data sha256": results["data"]["sha256"]}
    return f"```yaml\n{yaml.safe_dump(told, sort_keys=False, allow_unicode=True)}```"


# --- licences


def _base(about: Mapping[str, Any]) -> str:
    """Return the name of the language model, "" without one."""
    return str(about["for"].get("language model", {}).get("name", ""))


def _licences(results: Mapping[str, Any], about: Mapping[str, Any], folder: Path) -> str:
    dataset = results.get("data", {}).get("dataset", "the training data")
    lines = [OF_DATA.get(name, NOT_TOLD.format(name)) for name in dataset.split(" -> ")]  # trained on, tested on
    base, own = _base(about), (folder / "language_model" / "leaplan.json").is_file()
    if own:
        lines.append(OWN_BASE)
    elif base:
        told = about["for"]["language model"]
        where = "is included" if (folder / "language_model").is_dir() else "is not included, and is loaded from the hub"
        lines.append(
            f"The language model {base} (SHA-256 of its weights {told['sha256']}) {where}; its own licence applies."
        )
    started = results.get("protocol", {}).get("started_from")
    if started:
        lines.append(f"Training began with the weights of {started}, whose terms apply as well.")
    return "\n".join(f"- {line}" for line in lines)
