"""Windows that are looked at once: what a frozen network sees in each, kept for all segments that need it."""

import hashlib
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from leaplan.recognition.network import Recogniser
from leaplan.writing import write_whole

BATCH = 32


class SeenBefore:
    """What was seen in the windows of a split's clips, in place of their frames.

    Args:
        seen: Of every window once, "windows" (windows, F) and "visible" (windows,).
        at: Windows of each clip (M, W), -1 where nothing may be seen.
    """

    def __init__(self, seen: dict[str, Tensor], at: Tensor) -> None:
        self.packed, self.at = seen["windows"], at
        self.visible = (at >= 0) & seen["visible"][at.clamp(min=0)]  # (M, W)

    def __getitem__(self, key: int | tuple[int, int]) -> dict[str, Any]:
        index = key[1] if isinstance(key, tuple) else key
        at, mask = self.at[index], self.visible[index]
        packed = self.packed[at.clamp(min=0)] * mask[:, None]  # (W, F)
        return {"index": index, "clips": packed[None, :, None], "window_mask": mask, "broken": []}


def cached_windows(network: Recogniser, data: Any, split: str, trainer: Any, device: torch.device, key: str) -> None:
    """Let the clips of `split` be seen through what `network` sees in each of their windows, each looked at once.

    Args:
        network: Frozen; it looks in evaluation mode.
        data: The data module; its clips are changed.
        split: Whose windows.
        trainer: Tells the run folder and the process; the first process looks, the others read what it wrote.
        device: Of the network.
        key: Tells the network's weights.
    """
    if isinstance(data.clips(split).seen, SeenBefore):
        return
    bank, at = data.window_bank(split)
    path = Path(trainer.default_root_dir) / "windows" / f"{split}.safetensors"
    names = "\n".join(clip.sample_id for clip in bank.clips)
    wanted = hashlib.sha256(f"{key}\n{data.source.describe()}\n{names}".encode()).hexdigest()
    seen = _read(path, wanted)
    if seen is None and trainer.is_global_zero:
        found = seen = _look(network, bank, device)
        write_whole(path, lambda partial: save_file(found, partial, {"key": wanted}))
    trainer.strategy.barrier("windows")
    seen = _read(path, wanted) if seen is None else seen
    assert seen is not None
    data.clips(split).seen = SeenBefore(seen, at)


@torch.no_grad()
def _look(network: Recogniser, bank: Any, device: torch.device) -> dict[str, Tensor]:
    modes = {part: part.training for part in network.modules()}
    network.eval()
    rows, visible = [], []
    for keys in torch.arange(len(bank)).split(BATCH):
        batch = bank.__getitems__(keys.tolist())
        seen = network.encode(batch["clips"][:, 0].to(device), batch["window_mask"].to(device))
        rows.append(seen.pack()[:, 0].cpu())  # (B, F)
        visible.append(batch["window_mask"][:, 0])
    for part, training in modes.items():  # what is frozen stays in evaluation mode
        part.training = training
    return {"windows": torch.cat(rows).contiguous(), "visible": torch.cat(visible)}


def _read(path: Path, wanted: str) -> dict[str, Tensor] | None:
    """Return the windows of `path` if they are those of the key `wanted`."""
    try:
        with safe_open(str(path), framework="pt") as file:
            if (file.metadata() or {}).get("key") != wanted:
                return None
            return {name: file.get_tensor(name) for name in ("windows", "visible")}
    except (FileNotFoundError, OSError, SafetensorError):
        return None


def content_hash(path: Path) -> str:
    """Return the SHA-256 of a file, "" if it is not there."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
