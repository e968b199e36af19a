"""A run's settings without what is only here: the dataset, other runs' checkpoints, folders of this computer."""

from copy import deepcopy
from pathlib import Path
from typing import Any

from leaplan.errors import ConfigError
from leaplan.exporting.checked import FILES_OF

KNOWN = "leaplan.data.known.KnownProblem"


def portable(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of an exported model, from those of its run.

    Raises:
        ConfigError: The language model is a file of llama2.c.
    """
    model = deepcopy(settings["model"])
    arguments = model["init_args"]
    if "backbone" in arguments:
        _begin_anywhere(arguments)
    else:
        _read_anywhere(arguments)
    return {
        "seed_everything": settings["seed_everything"],
        "trainer": {"precision": settings["trainer"].get("precision")},
        "model": model,
        "data": {"class_path": KNOWN, "init_args": _looking(settings["data"]["init_args"])},
        "root": ".",
        **{key: settings[key] for key in ("horizon", "decode", "threads") if key in settings},
    }


def _looking(data: dict[str, Any]) -> dict[str, Any]:
    """Return how a dataset is looked at: that of the training part where two are crossed."""
    source = deepcopy(data.get("source") or data["train"]["init_args"]["source"])
    if "cache" in source["init_args"]:
        source["init_args"]["cache"] = ""
    return {"view": deepcopy(data["view"]), "source": source}


def _begin_anywhere(arguments: dict[str, Any]) -> None:
    """Change a recogniser's settings: all its weights are in one file, also those that another run trained."""
    arguments.update(start_from="", freeze=False, cached=False)
    backbone = arguments["backbone"]["init_args"]
    if "weights" in backbone:
        backbone.update(weights="", channel_order="")


def _read_anywhere(arguments: dict[str, Any]) -> None:
    """Change a planner's settings: descriptions and prompt are read from the exported folder."""
    arguments["aligned_from"] = ""
    described = (arguments.get("descriptions") or {}).get("init_args", {})
    arguments["descriptions"] = {
        "class_path": "leaplan.text.descriptions.PrecomputedSteps",
        "init_args": {"file": FILES_OF["model.descriptions.file"], "encoder": described.get("encoder")},
    }
    if Path(arguments["prompt"]).expanduser().is_file():
        arguments["prompt"] = FILES_OF["model.prompt"]
    language = (arguments.get("language") or {}).get("init_args", {})
    if "cache" in language:
        language["cache"] = None
    if "model" in language:
        path = Path(language["model"]).expanduser()
        if path.suffix == ".bin":
            raise ConfigError(f"{path.name} of llama2.c cannot be exported", "Train with a Hugging Face folder of it")
        language["model"] = path.resolve().name if path.exists() else language["model"]
