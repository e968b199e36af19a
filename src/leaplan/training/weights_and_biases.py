"""Weights & Biases, with one of its runs per run folder."""

from pathlib import Path
from uuid import uuid4

from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from leaplan.errors import ConfigError
from leaplan.writing import write_text


class WandbRun(WandbLogger):
    """A logger whose run at Weights & Biases goes on when a run folder is continued, on whichever machine.

    Args:
        folder: The run folder. It keeps the id, so that a folder that is overwritten gets a new one.
        project: At Weights & Biases.
        entity: User or team; None is the user's default.
        offline: Write to the folder only; `wandb sync` sends it later.

    Raises:
        ConfigError: The package wandb is not installed.
    """

    def __init__(self, folder: str, project: str = "leaplan", entity: str | None = None, offline: bool = False) -> None:
        path = Path(folder)
        run = run_id(path) if rank_zero_only.rank == 0 else None  # only the first process logs
        try:
            super().__init__(path.name, folder, id=run, project=project, entity=entity, offline=offline)
        except ModuleNotFoundError as error:
            raise ConfigError("wandb is not installed", "pip install 'leaplan[wandb]'") from error


def run_id(folder: Path) -> str:
    """Return the id of a run folder at Weights & Biases; the first time, one is made up and kept there."""
    kept = folder / "wandb_id.txt"
    if not kept.is_file():
        write_text(kept, f"{uuid4().hex[:12]}\n")
    return kept.read_text(encoding="utf-8").strip()
