"""Windows that are looked at once: what a frozen network sees in each, kept for all segments that need it."""

import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from leaplan.recognition.asked_of_data import RecognitionData
from leaplan.recognition.network import Recogniser
from leaplan.video.reader import VideoError
from leaplan.video.weights import content_hash
from leaplan.writing import alone, write_whole

BATCH = 32
PART = 16 * BATCH  # windows that a process looks at in one go
Broken = dict[int, tuple[str, str]]  # windows that could not be read: video and reason


class SeenBefore:
    """What was seen in the windows of a split's clips, in place of their frames.

    A clip of a window that could not be read is replaced by another, drawn at random.

    Args:
        windows: Packed, of every window once (n, F).
        visible: Whether the network looked at each (n,).
        at: Windows of each clip (M, W), -1 where nothing may be seen.
        broken: Windows that could not be read.
    """

    def __init__(self, windows: Tensor, visible: Tensor, at: Tensor, broken: Mapping[int, tuple[str, str]]) -> None:
        self.packed, self.at, self.broken = windows, at, broken
        self.visible = (at >= 0) & visible[at.clamp(min=0)]  # (M, W)
        self.whole = (~torch.isin(at, torch.tensor([*broken], dtype=at.dtype)).any(1)).nonzero()[:, 0]

    def __getitem__(self, key: int | tuple[int, int]) -> dict[str, Any]:
        epoch, wanted = key if isinstance(key, tuple) else (0, key)
        broken = [self.broken[window] for window in self.at[wanted].tolist() if window in self.broken]
        index = self._another(epoch, wanted) if broken else wanted
        at, mask = self.at[index], self.visible[index]
        packed = self.packed[at.clamp(min=0)] * mask[:, None]  # (W, F)
        return {"index": index, "clips": packed[None, :, None], "window_mask": mask, "broken": broken[:1]}

    def _another(self, epoch: int, wanted: int) -> int:
        generator = torch.Generator().manual_seed(epoch * len(self.at) + wanted)
        return int(self.whole[torch.randint(len(self.whole), (), generator=generator)])


def cached_windows(network: Recogniser, data: RecognitionData, split: str, run: Path, device: torch.device) -> None:
    """Let the clips of `split` be seen through what `network` sees in each of their windows, each looked at once.

    Processes share the work: those of this run, and of others that look at the same with the same network. Each takes
    the windows in an order of its own network's, so that those of other networks share what is decoded.

    Args:
        network: Frozen; it looks in evaluation mode.
        data: The data module; its clips are changed.
        split: Whose windows. Only in "train" may videos be broken.
        run: Keeps what is seen in a folder of its own, where the data module names none.
        device: Of the network.

    Raises:
        VideoError: A video of another split cannot be read, or none of "train" can.
    """
    if isinstance(data.clips(split).seen, SeenBefore):
        return
    bank, at, shared = data.window_bank(split)
    folder = shared or run / "windows"
    folder.mkdir(parents=True, exist_ok=True)
    names = "\n".join(clip.sample_id for clip in bank.clips)
    wanted = hashlib.sha256(f"{_key(network)}\n{data.source.describe()}\n{names}".encode()).hexdigest()
    rows = torch.arange(len(bank)).split(PART)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(int(wanted[:8], 16))).tolist()
    parts: dict[int, Part] = {}
    for wait in (False, True):  # first what nobody looks at, then what others were looking at
        for number in [each for each in order if each not in parts]:
            path = folder / f"{split}-{wanted[:16]}-{number}.safetensors"
            with alone(folder / ".lock", number, wait) as free:
                if free:
                    parts[number] = _kept(path, wanted) or _look(network, bank, rows[number], device, split == "train")
                    _keep(parts[number], path, wanted)
    data.clips(split).seen = _joined(list(parts.values()), at, len(bank))


def _key(network: Recogniser) -> str:
    """Return what decides what `network` sees in a window."""
    shown = [network.backbone, *([network.program] if network.summarises else [])]
    return json.dumps([[repr(part), content_hash(part)] for part in shown] + [network.tail])


class Part(NamedTuple):
    """What was seen in some of the windows. m windows that could be read."""

    seen: dict[str, Tensor]  # "at" (m,) their numbers, "windows" (m, F), "visible" (m,)
    broken: Broken


@torch.no_grad()
def _look(network: Recogniser, bank: Any, rows: Tensor, device: torch.device, may_break: bool) -> Part:
    """Return what `network` sees in the windows `rows` of `bank`."""
    modes = {part: part.training for part in network.modules()}
    network.eval()
    found: dict[str, list[Tensor]] = {"at": [], "windows": [], "visible": []}
    broken: Broken = {}
    for keys in rows.split(BATCH):
        for batch in _batches(bank, keys.tolist(), broken if may_break else None):
            seen = network.encode(batch["clips"][:, 0].to(device), batch["window_mask"].to(device))
            found["at"].append(batch["index"])
            found["windows"].append(seen.pack()[:, 0].cpu())  # (B, F)
            found["visible"].append(batch["window_mask"][:, 0])
    for part, training in modes.items():  # what is frozen stays in evaluation mode
        part.training = training
    joined = {name: torch.cat(each).contiguous() if each else torch.zeros(0) for name, each in found.items()}
    return Part(joined, broken)


def _batches(bank: Any, keys: list[int], broken: Broken | None) -> list[dict[str, Any]]:
    """Return the windows `keys` in one batch; if one is broken and may be, each that is not in a batch of its own."""
    try:
        return [bank.__getitems__(keys)]
    except VideoError as error:
        if broken is None:
            raise
        if len(keys) == 1:
            broken[keys[0]] = (bank.clips[keys[0]].video, error.what)
            return []
    return [batch for key in keys for batch in _batches(bank, [key], broken)]


def _joined(parts: list[Part], at: Tensor, count: int) -> SeenBefore:
    """Return what was seen in all `count` windows."""
    broken = {window: told for part in parts for window, told in part.broken.items()}
    seen = [part.seen for part in parts if len(part.seen["at"])]
    width = seen[0]["windows"].shape[1] if seen else 0
    windows, visible = torch.zeros(count, width), torch.zeros(count, dtype=torch.bool)
    for each in seen:
        windows[each["at"]], visible[each["at"]] = each["windows"], each["visible"]
    found = SeenBefore(windows, visible, at, broken)
    if not len(found.whole):
        raise VideoError(f"no clip can be read; the first: {broken[min(broken)][1]}", "Get the videos again")
    return found


def _keep(part: Part, path: Path, wanted: str) -> None:
    """Write what was seen, if all windows could be read: a broken video may be mended."""
    if part.broken or path.exists():
        return
    try:
        write_whole(path, lambda partial: save_file(part.seen, partial, {"key": wanted}))
    except OSError as error:
        warnings.warn(f"what was seen is not kept for other runs: {error}", stacklevel=2)


def _kept(path: Path, wanted: str) -> Part | None:
    """Return what `path` keeps, None if it is missing, damaged, or of another key than `wanted`."""
    try:
        with safe_open(str(path), framework="pt") as file:
            if (file.metadata() or {}).get("key") == wanted:
                return Part({name: file.get_tensor(name) for name in ("at", "windows", "visible")}, {})
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError):
        pass
    path.unlink(missing_ok=True)
    return None


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file, "" if it is not there."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
