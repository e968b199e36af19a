"""The verb `convert-weights`: weights that others trained, as safetensors under our names, with their provenance."""

import argparse
import datetime
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import leaplan
from leaplan.errors import CheckpointError, ConfigError, DataError
from leaplan.writing import write_json, write_whole

if TYPE_CHECKING:
    from torch import Tensor

    from leaplan.recognition.checkpoints import Weights

EXAMPLES = """examples:
  leaplan convert-weights k400_b16_8x224.pyth --out weights/uniformerv2_b16_k400.safetensors
  leaplan convert-weights ssv2_b16_16x224.pyth --out weights/uniformerv2_b16_ssv2.safetensors --kind ssv2
  leaplan convert-weights clip_vit_b16.safetensors --out weights/clip_b16.safetensors --kind ssv2

Reads official UniFormerV2 checkpoints (.pyth), mmaction2's (.pth), and CLIP image networks of OpenAI (a state dict), of
timm and of transformers; the format is told by the names in the file. Files are never unpickled. Beside OUT lies
OUT.json, the record of where the weights come from; OUT carries it too. Every key must be known and every shape fit.

exit code: 0 written, 2 wrong use or weights that do not fit"""
KINDS, SIZES = ("kinetics", "ssv2"), ("tiny", "b16", "l14")


def main(argv: list[str]) -> int:
    """Run `leaplan convert-weights` and return its exit code, 0.

    Raises:
        UserError: Wrong use, or weights that cannot be read or do not fit.
    """
    options = _parser().parse_args(argv)
    _refuse_paths(options.file, options.out, options.overwrite)
    from leaplan.recognition.checkpoints import read_weights

    weights = read_weights(options.file)
    state, record = converted(weights, options.kind, options.size, options.frames, options.resolution)
    record["source"] = provenance(options.file)
    write(options.out, state, record)
    print(summary(options.out, record))
    return 0


def converted(
    weights: "Weights", kind: str = "", size: str = "", frames: int = 0, resolution: int = 0
) -> tuple[dict[str, "Tensor"], dict[str, Any]]:
    """Return the weights of one network, complete and checked, and the record of what they are.

    Args:
        weights: What was read.
        kind: Refuse another kind; of CLIP's weights, make the stem for this kind.
        size: Refuse another size.
        frames: Noted in the record; no weight depends on it.
        resolution: Interpolate positions to square frames of this side; 0 keeps them.

    Raises:
        CheckpointError: Of another kind or size, or not complete.
    """
    from leaplan.recognition.checkpoints import fitted

    layout = weights.layout
    _refuse_other(weights, kind, size)
    if resolution % layout.patch:
        raise ConfigError(
            f"--resolution {resolution} is not a multiple of the patch, {layout.patch}",
            f"The nearest is {max(1, round(resolution / layout.patch)) * layout.patch}",
        )
    side = resolution // layout.patch
    grid = (side, side) if side else weights.grid
    state = fitted(weights, layout.expected(grid, kind if weights.partial else ""), grid)
    record = {**_described(weights, kind, grid, frames), "parameters": _parameters(state), "note": weights.note}
    if weights.record:
        record["converted_from"] = dict(weights.record)
    return {name: tensor.contiguous() for name, tensor in state.items()}, record


def _described(weights: "Weights", kind: str, grid: tuple[int, int], frames: int) -> dict[str, Any]:
    """Return what the record says of the network."""
    layout = weights.layout
    return {
        "leaplan": leaplan.__version__,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "format": weights.format,
        "key_map": f"leaplan.recognition.key_maps: {weights.format}",
        "partial": weights.partial,
        "kind": kind if weights.partial else layout.kind,
        "size": layout.size,
        "width": layout.width,
        "depth": layout.depth,
        "patch": layout.patch,
        "grid": list(grid),
        "resolution": [side * layout.patch for side in grid],
        "frames": frames,
        "global_blocks": layout.blocks,
        "classes": layout.classes,
        "channel_order": "rgb",
        "stem_reversed": weights.channel_order == "bgr",
    }


def provenance(path: Path) -> dict[str, Any]:
    """Return name, size and checksum of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": digest}


def write(path: Path, state: dict[str, "Tensor"], record: dict[str, Any]) -> None:
    """Write the weights with their record, and the record beside them, each whole or not at all.

    Raises:
        DataError: The folder cannot be written to.
    """
    from safetensors.torch import save_file

    from leaplan.recognition.checkpoints import METADATA

    metadata = {METADATA: json.dumps(record, ensure_ascii=False)}
    try:
        write_whole(path, lambda partial: save_file(state, partial, metadata))
        write_json(record_path(path), record)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror or error})", "Give another --out") from error


def record_path(path: Path) -> Path:
    """Return where the record of a file of weights lies."""
    return path.with_name(f"{path.name}.json")


def summary(path: Path, record: dict[str, Any]) -> str:
    """Return what the verb prints."""
    size = record["size"] or f"width {record['width']}, {record['depth']} layers"
    what = "CLIP's part" if record["partial"] else f"{record['kind']} kind, {record['classes']} classes"
    lines = [
        f"{path}: {record['parameters']:,} weights of {size}, {what}, from {record['format']}",
        "  positions for {} x {} pixels; takes RGB{}".format(
            *record["resolution"], " (first layer turned round: trained on BGR)" if record["stem_reversed"] else ""
        ),
    ]
    if record["partial"]:
        lines.append("  global blocks, local relation aggregators and head begin as the network initialises them")
    if record["note"]:
        lines.append(f"  note: {record['note']}")
    return "\n".join([*lines, f"  record: {record_path(path)}"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "leaplan convert-weights",
        description="Turn weights that others trained into safetensors under leaplan's names.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("file", type=Path, metavar="IN", help=".pyth, .pth, .pt or .safetensors")
    parser.add_argument("--out", type=Path, required=True, metavar="OUT.safetensors")
    parser.add_argument("--kind", choices=KINDS, default="", help="refuse another kind; of CLIP: make this kind's stem")
    parser.add_argument("--size", choices=SIZES, default="", help="refuse another size")
    parser.add_argument("--frames", type=int, default=0, help="frames per clip it was trained with, for the record")
    parser.add_argument("--resolution", type=int, default=0, metavar="PIXELS", help="interpolate positions to it")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT")
    return parser


def _refuse_paths(source: Path, out: Path, overwrite: bool) -> None:
    if out.suffix != ".safetensors":
        raise ConfigError(f"--out {out} does not end in .safetensors", f"Give {out.with_suffix('.safetensors')}")
    if out.exists() and source.exists() and out.samefile(source):
        raise ConfigError(f"--out {out} is the file that is read", "Give another name")
    if out.exists() and not overwrite:
        raise ConfigError(f"{out} exists already", "Give another --out, or --overwrite")


def _refuse_other(weights: "Weights", kind: str, size: str) -> None:
    layout = weights.layout
    if size and layout.size != size:
        found = layout.size or f"of width {layout.width} with {layout.depth} layers and patches of {layout.patch}"
        raise CheckpointError(
            f"{weights.path} is {found}, not {size}",
            f"Ask for --size {layout.size}" if layout.size else "Leave --size out",
        )
    fits = not kind or kind == layout.kind or (weights.partial and layout.span == 1)
    if not fits:
        local = "has" if layout.relations else "has no"
        name = {"ssv2": "an SSv2-type", "kinetics": "a Kinetics-type"}[layout.kind]
        raise CheckpointError(
            f"{weights.path} {local} local MHRA: {name} checkpoint, not {kind}", f"Ask for --kind {layout.kind}"
        )


def _parameters(state: dict[str, "Tensor"]) -> int:
    buffers = (".running_mean", ".running_var", ".num_batches_tracked")
    return sum(tensor.numel() for name, tensor in state.items() if not name.endswith(buffers))
