"""The verb `bench`: speed and memory, measured as ratios or per unit of work within one run."""

import argparse
from importlib import import_module

SUBJECTS = {
    "planner": (
        "leaplan.planning.bench",
        "a training step, Viterbi and the decoder; --preset paper for PlanLLM's sizes",
    ),
    "recogniser": (
        "leaplan.recognition.bench",
        "UniFormerV2 per clip, decoding, and which of them bounds a run; --size b16, --device cuda",
    ),
    "clips": ("leaplan.data.bench", "clips from films, decoded each time and from the cache on disk"),
    "extract": ("leaplan.bench_extract", "videos to features, and which of decoding and network bounds it"),
    "language": ("leaplan.planning.bench", "plans along a trie of labels, and the memory of a 7B model"),
    "chat": ("leaplan.text.chat.bench", "requests to a language model's server on this machine"),
    "programs": ("leaplan.programs.bench", "action programs by rules: made, checked, encoded"),
}


def main(argv: list[str]) -> int:
    """Run the benchmark that `argv` names; its own options follow."""
    width = max(map(len, SUBJECTS))
    lines = [f"  {name:<{width}}  {what}" for name, (_, what) in SUBJECTS.items()]
    parser = argparse.ArgumentParser(
        "leaplan bench",
        description=__doc__,
        epilog="\n".join(["subjects:", *lines, "", "example: leaplan bench planner --preset paper --json bench.json"]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("subject", choices=SUBJECTS, metavar="SUBJECT", help="what to measure; it has a --help")
    options = parser.parse_args(argv[:1])
    return int(import_module(SUBJECTS[options.subject][0]).main(argv))
