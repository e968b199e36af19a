"""The verb `export`: a trained model into a folder that needs neither run nor dataset."""

import argparse
from pathlib import Path

import leaplan

EXAMPLES = """examples:
  leaplan export runs/planllm-synthetic-t3 --to exported/planner
  leaplan export runs/leap-recognise-7 --to exported/recogniser --onnx
  leaplan plan video.mp4 --start 0:12 --goal 0:31 --checkpoint exported/planner

The folder holds weights (safetensors), LoRA adapters as peft writes them, settings, classes, transitions, a model card
(README.md) and SHA256SUMS, and goes to the hub as it is:  hf upload NAME FOLDER
leaplan.load("FOLDER") and leaplan.load("somebody/name") load it after every file was checked.
A pretrained language model is named by id and hash, and copied only with --with-base.

exit code: 0 exported, 2 wrong use, or the run cannot be exported"""


def main(argv: list[str]) -> int:
    """Run `leaplan export` and return 0.

    Raises:
        UserError: The run cannot be loaded or exported, or the folder exists.
    """
    options = _parser().parse_args(argv)
    from leaplan.exporting.folder import export

    model = leaplan.load(options.run, root=options.root)
    folder = options.to.expanduser()
    told = export(model, folder, options.with_base, options.overwrite, options.onnx)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{model.name}: {size / 1e6:.1f} MB in {folder}")
    if told:
        print(told)
    print(f'load it:  leaplan.load("{folder}")')
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "leaplan export",
        description="Write a trained model as a folder that needs neither run nor dataset.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("run", metavar="RUN", help="runs/NAME, or a checkpoint in it")
    add("--to", required=True, type=Path, metavar="DIR", help="folder to write; must not exist")
    add("--root", default="", metavar="FOLDER", help="of the dataset; by default where it was in training")
    add("--with-base", action="store_true", help="copy a pretrained language model as well")
    add("--onnx", action="store_true", help="also write model.onnx, checked on real samples (extra: onnx)")
    add("--overwrite", action="store_true", help="replace an exported model")
    return parser
