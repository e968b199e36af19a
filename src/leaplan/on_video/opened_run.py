"""A finished run as it stands after training: its data and its network, built as `leaplan predict` builds them."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import yaml

from leaplan.cli import LeaplanCLI, ParserRefusal, quiet, users_mistake
from leaplan.config_errors import explain
from leaplan.errors import CheckpointError, ConfigError, DataError
from leaplan.exporting.checked import FILES_OF, WEIGHTS_FILE, is_export, refuse_damage, refuse_strangers
from leaplan.shipped_configs import with_files
from leaplan.training.checkpoints import read_checkpoint

Task = Literal["planning", "recognition"]
SEE_RUNS = "Give the folder of a run of `leaplan fit`, with config.yaml and checkpoints/best.ckpt, or an exported model"
ALONE = {
    **{"devices": "1", "num_nodes": "1", "strategy": "auto"},
    **{"logger": "false", "callbacks": "null", "profiler": "null"},
}
"""Settings of the trainer that say where a run was trained, not what: here one process does all."""


@dataclass(frozen=True)
class OpenedRun:
    """A run that is ready to be asked.

    Args:
        folder: Of the run.
        task: What it was trained for.
        module: The `PlanningModule` or `RecognitionModule` with the checkpoint's weights, in evaluation.
        data: Its data module, set up.
        device: Where the module is.
        asking: Gives the context in which `leaplan predict` asks the network: its precision, no gradients.
    """

    folder: Path
    task: Task
    module: Any
    data: Any
    device: torch.device
    asking: Callable[[], AbstractContextManager[None]]


def open_run(checkpoint: Path, root: str = "", device: str = "cpu") -> OpenedRun:
    """Return the run in a folder, or of a checkpoint in it, with the weights of its best, or that, checkpoint.

    Args:
        checkpoint: `runs/<name>`, or `runs/<name>/checkpoints/<which>.ckpt`.
        root: Folder of the dataset, "" where it was in training.
        device: "cpu", "cuda", "cuda:1", "mps".

    Raises:
        CheckpointError: There is no such run, or it does not fit its data.
        DataError: Its dataset is not at hand.
        ConfigError: Its settings cannot be used any more.
    """
    folder, weights = _places(checkpoint.expanduser().resolve())
    exported = weights.name == WEIGHTS_FILE
    if exported:
        refuse_damage(folder)
        refuse_strangers(yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8")), "its config.yaml")
        root = str(folder)
    content = read_checkpoint(weights)
    cli = _built(folder, weights, root, device)
    _set_up(cli, folder)
    trainer, module = cli.trainer, cli.model
    trainer.state.fn, trainer.ckpt_path = "predict", None if exported else str(weights)
    trainer.datamodule, cli.datamodule.trainer, module.trainer = cli.datamodule, trainer, trainer
    with trainer.precision_plugin.module_init_context():
        module.configure_model()
    module.on_load_checkpoint(content)
    module.load_state_dict(content["state_dict"], strict=False)  # the module has just compared all names
    module = trainer.precision_plugin.convert_module(module.to(trainer.strategy.root_device)).eval()
    module.requires_grad_(False)
    asking = trainer.precision_plugin.predict_step_context
    return OpenedRun(folder, content["leaplan"]["task"], module, cli.datamodule, trainer.strategy.root_device, asking)


class _Builder(LeaplanCLI):
    """The command line that builds data, network and trainer, and runs nothing."""

    def _run_subcommand(self, subcommand: str) -> None:
        """Leave the trainer alone."""

    def _bring_language_model(self, checkpoint: Path) -> None:
        """Leave the folder as it is: what it needs is in it."""


def _places(checkpoint: Path) -> tuple[Path, Path]:
    """Return the folder of a run or an exported model, and which of its checkpoints is meant."""
    if is_export(checkpoint):
        return checkpoint, checkpoint / WEIGHTS_FILE
    if checkpoint.suffix == ".ckpt":
        folder, weights = checkpoint.parent.parent, checkpoint
    else:
        folder, weights = checkpoint, checkpoint / "checkpoints" / "best.ckpt"
    if not (folder / "config.yaml").is_file():
        raise CheckpointError(f"{folder} is no run: it has no config.yaml", SEE_RUNS)
    return folder, weights


def _built(folder: Path, weights: Path, root: str, device: str) -> LeaplanCLI:
    """Return data module, network and trainer as the run's settings say."""
    quiet()
    arguments = with_files(["predict", "--config", str(folder / "config.yaml"), "--runs", str(folder.parent)])
    arguments += ["--name", folder.name, "--ckpt_path", str(weights)]
    arguments += [word for key, value in (ALONE | _placed(device)).items() for word in (f"--trainer.{key}", value)]
    arguments += ["--root", root] if root else []
    if weights.name == WEIGHTS_FILE:
        own = {key: folder / name for key, name in FILES_OF.items() if (folder / name).is_file()}
        arguments += [word for key, path in own.items() for word in (f"--{key}", str(path))]
    threads = torch.get_num_threads()
    try:
        return _Builder(arguments)
    except ParserRefusal as refusal:
        raise ConfigError(*explain(refusal.message, refusal.parser, arguments)) from refusal
    except Exception as error:
        mistake = users_mistake(error)  # the parser wraps what a constructor says
        if mistake is None:
            raise
        raise mistake from error
    finally:
        torch.set_num_threads(threads)  # the run's own number is for a small network in training


def _placed(device: str) -> dict[str, str]:
    """Return the trainer's settings for a device."""
    kind, _, number = device.partition(":")
    there = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if kind not in there or (number and not number.isdigit()):
        raise ConfigError(f"device {device} is none", "Use --device cpu, cuda, cuda:1 or mps")
    if int(number or 0) >= there[kind]:
        raise ConfigError(f"device {device}: PyTorch finds {there[kind]} of this kind here", "Use --device cpu")
    return {"accelerator": kind, "devices": f"[{number}]" if number and kind != "cpu" else "1"}


def _set_up(cli: LeaplanCLI, folder: Path) -> None:
    """Read the dataset: classes, and what is measured on training data, are not in the checkpoint."""
    try:
        cli.datamodule.prepare_data()
        cli.datamodule.setup("predict")
    except DataError as error:
        what = f"{folder.name} is built with the dataset that it was trained on, which is not at hand: {error.what}"
        hint = "Go to where it was trained, or say --root FOLDER; a model of `leaplan export` needs no dataset"
        raise DataError(what, hint) from error
