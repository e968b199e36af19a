"""Where a model is: a folder here, or a repository of the Hugging Face hub."""

import re
from pathlib import Path

from leaplan.errors import UserError

WANTED = ["*.safetensors", "*.json", "*.yaml", "*.md", "*.npy", "*.npz", "*.txt", "*.onnx", "*.model", "SHA256SUMS"]
"""Files of an exported model: no pickles, no code."""
IDENTITY = re.compile(r"[\w.-]+/[\w.-]+")


def place_of(run: str | Path) -> Path:
    """Return the folder or file itself; the downloaded folder of an id of the hub, such as "somebody/planner".

    A text is taken for an id where it has the form of one and neither it nor the folder before its slash is here.

    Raises:
        UserError: The hub has no such model, or cannot be reached.
    """
    path = Path(run).expanduser()
    if not isinstance(run, str) or path.exists() or path.parent.exists() or not IDENTITY.fullmatch(run):
        return path
    import huggingface_hub

    try:
        return Path(huggingface_hub.snapshot_download(run, allow_patterns=WANTED))
    except (OSError, ValueError) as error:
        offline = huggingface_hub.constants.HF_HUB_OFFLINE
        reason = "HF_HUB_OFFLINE is set" if offline else f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
        raise UserError(
            f"'{run}' is neither a folder here nor a model that can be had from the hub ({reason})",
            f"Give the folder of a run or of an exported model, or download it where there is a network:  "
            f"hf download {run} --local-dir FOLDER",
        ) from None
