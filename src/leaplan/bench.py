"""The verb `bench`: speed and memory, measured as ratios or per unit of work within one run."""

from importlib import import_module

from leaplan.errors import UserError

SUBJECTS = {
    "planner": (
        "leaplan.planning.bench",
        "a training step, Viterbi and the decoder; --preset paper for PlanLLM's sizes",
    ),
    "language": ("leaplan.planning.bench", "plans along a trie of labels, and the memory of a 7B model"),
    "chat": ("leaplan.text.chat.bench", "requests to a language model's server on this machine"),
    "programs": ("leaplan.programs.bench", "action programs by rules: made, checked, encoded"),
}


def main(argv: list[str]) -> int:
    """Run the benchmark that `argv` names.

    Raises:
        UserError: There is no such benchmark.
    """
    if not argv or argv[0] in ("-h", "--help"):
        width = max(map(len, SUBJECTS))
        lines = [f"  {name:<{width}}  {what}" for name, (_, what) in SUBJECTS.items()]
        print("\n".join(["usage: leaplan bench SUBJECT [--help] ...", "", __doc__ or "", "", "subjects:", *lines]))
        print("\nexample: leaplan bench planner --preset paper --json bench.json")
        return 0
    if argv[0] not in SUBJECTS:
        raise UserError(f"'{argv[0]}' cannot be measured", f"There is:  {', '.join(SUBJECTS)}")
    return int(import_module(SUBJECTS[argv[0]][0]).main(argv))
