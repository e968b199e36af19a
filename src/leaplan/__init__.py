"""leaplan: plans and action programs of what people do in video."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leaplan import data

if TYPE_CHECKING:
    from leaplan.on_video.model import Model

warnings.filterwarnings("ignore", message="IProgress not found")  # of tqdm, in notebooks: our bars are others

__version__ = "0.1.0"
__all__ = ["__version__", "data", "load"]


def load(
    run: str | Path,
    *,
    root: str | Path = "",
    device: str = "cpu",
    encoder: str = "",
    weights: str | Path = "",
    settings: Mapping[str, Any] | None = None,
) -> "Model":
    """Return a trained planner or recogniser that is ready to be asked.

        plan = leaplan.load("runs/plan-synthetic-t3").plan("0:12", "0:31", "video.mp4")
        actions = leaplan.load("runs/leap-recognise-7").recognise("video.mp4")

    Args:
        run: Folder of a run or of an exported model, a checkpoint, or the id of an exported model on the Hugging Face
            hub, such as "somebody/planner".
        root: Folder of its dataset; "" where it was in training. An exported model needs none.
        device: "cpu", "cuda", "cuda:1", "mps".
        encoder, weights, settings: Of the encoder that turns pictures into features, as `leaplan extract-features`
            takes them, where `features.json` of the run's features does not tell; its weights are never beside it.

    Raises:
        CheckpointError: There is no such run, or it does not fit its data.
        ProblemList: Files of an exported model are damaged; names them.
        UserError: The hub has no such model, or cannot be reached.
        DataError: Its dataset is not at hand.
        ConfigError: Its settings cannot be used any more, or there is no such device.
    """
    from leaplan.exporting.hub import place_of
    from leaplan.on_video.model import Model
    from leaplan.on_video.opened_run import open_run
    from leaplan.on_video.same_encoder import Given

    opened = open_run(place_of(run), str(root), device)
    return Model(opened, Given(encoder, str(weights), settings or {}, device))
