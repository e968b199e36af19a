"""The command line: a table of verbs. What a verb needs is imported only when it is called."""

import os
import sys
from importlib import import_module

import leaplan
from leaplan.errors import UserError

VERBS = {
    "fit": ("leaplan.cli", "train, continue a run that was cut off, and evaluate the best checkpoint"),
    "validate": ("leaplan.cli", "evaluate a run's best checkpoint on validation data"),
    "test": ("leaplan.cli", "evaluate a run's best checkpoint on test data"),
    "predict": ("leaplan.cli", "write a run's plans for the test windows"),
    "study": ("leaplan.study", "run variants of an experiment with several seeds, and print tables"),
    "check-data": ("leaplan.data.check", "tell what a dataset folder holds, lacks, and how to mend it"),
    "extract-features": ("leaplan.extract_features", "turn videos into features, a row per second"),
    "describe-steps": ("leaplan.describe_steps", "have a language model describe steps, and the states around them"),
    "generate-programs": ("leaplan.programs.generate", "make action programs for clips, by rules or a language model"),
    "check-programs": ("leaplan.programs.check_programs", "check any file of action programs, and tell all faults"),
    "plan": ("leaplan.on_video.plan", "plan the steps from a start to a goal: a video in, or two images, a plan out"),
    "recognise": ("leaplan.on_video.recognise", "tell the actions in a video, and their programs, along time"),
    "export": ("leaplan.exporting.verb", "write a trained model as a folder that needs neither run nor dataset"),
    "score": ("leaplan.score", "score anybody's predictions, with intervals and a paired test"),
    "compare": ("leaplan.compare", "compare models over their seeds, on the same clips or windows, with intervals"),
    "report": ("leaplan.on_runs.report", "show finished runs on one page, which opens from disk"),
    "convert-weights": ("leaplan.recognition.convert", "turn official video weights into safetensors"),
    "configs": ("leaplan.shipped_configs", "list, show and copy the configurations that come with leaplan"),
    "demo": ("leaplan.demo.run", "see it all on the synthetic kitchen, in one go or on a page of your own"),
    "info": ("leaplan.info", "tell versions, devices, decoders and caches, for bug reports"),
    "completion": ("leaplan.completion", "print a script that completes verbs and options in your shell"),
    "bench": ("leaplan.bench", "measure speed and memory, and compare two such measurements"),
}

EXAMPLES = """examples:
  leaplan fit --config configs/experiment/plan_synthetic_t3.yaml
  leaplan check-data captaincook4d --root /data
  leaplan score runs/plan-synthetic-t3/predictions/test.jsonl
Each verb has its own --help."""


def main(argv: list[str]) -> int:
    """Run one verb and return its exit code: 0 done, 1 something is wrong with the data, 2 wrong use.

    Nothing that a user did wrong raises: its message is printed.
    """
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(help_text())
        return 0
    if argv[0] in ("--version", "-V"):
        print(f"leaplan {leaplan.__version__}")
        return 0
    verb, arguments = argv[0], argv[1:]
    try:
        if verb not in VERBS:
            raise UserError(f"'{verb}' is not a verb{_nearest(verb)}", "See them all:  leaplan --help")
        module = VERBS[verb][0]
        if module == "leaplan.cli":
            arguments = argv
        code = int(import_module(module).main(arguments) or 0)
        sys.stdout.flush()  # here, where a reader that has left is no error; not when Python ends
        return code
    except UserError as error:
        print(f"leaplan: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("leaplan: interrupted; run the same command again to continue", file=sys.stderr)
        return 130
    except BrokenPipeError:  # such as `leaplan configs list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def help_text() -> str:
    """Return the page that `leaplan --help` prints."""
    width = max(map(len, VERBS))
    lines = [f"  {verb:<{width}}  {what}" for verb, (_, what) in VERBS.items()]
    return "\n".join([f"leaplan {leaplan.__version__}: {leaplan.__doc__}", "", "verbs:", *lines, "", EXAMPLES])


def _nearest(verb: str) -> str:
    import difflib

    close = difflib.get_close_matches(verb, VERBS, 1)
    return f"; did you mean '{close[0]}'?" if close else ""


def run() -> None:
    """Entry point of the `leaplan` command."""
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    run()
