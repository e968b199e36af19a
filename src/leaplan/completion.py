"""The verb `completion`: a script that lets a shell complete verbs, options, files and names of configurations.

The script holds all words: pressing TAB starts no Python.
"""

import argparse
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import leaplan
from leaplan.shipped_configs import shipped

SHELLS = ("bash", "zsh", "fish")
EXAMPLES = """examples:
  leaplan completion bash > ~/.local/share/bash-completion/completions/leaplan
  leaplan completion zsh > ~/.zfunc/_leaplan       # and before compinit in ~/.zshrc: fpath+=~/.zfunc
  leaplan completion fish > ~/.config/fish/completions/leaplan.fish
Make it anew after an update of leaplan."""


def main(argv: list[str]) -> int:
    """Run `leaplan completion` and return 0."""
    options = _parser().parse_args(argv)
    import shtab

    print(shtab.complete(whole_parser(), options.shell))
    return 0


def whole_parser() -> argparse.ArgumentParser:
    """Return a parser of all verbs with their options, which is good for completion only."""
    from leaplan.__main__ import VERBS

    parser = argparse.ArgumentParser("leaplan", description=leaplan.__doc__)
    parser.add_argument("--version", action="version", version=leaplan.__version__, help="print the version")
    verbs = parser.add_subparsers()
    trainer = _trainer_options()
    for verb, (module, what) in VERBS.items():
        own = [import_module(module)._parser()] if hasattr(import_module(module), "_parser") else []
        added = verbs.add_parser(verb, help=what, parents=own, add_help=not own, conflict_handler="resolve")
        if module == "leaplan.cli":
            for name, told in trainer[verb].items():
                added.add_argument(name, help=told)
        _complete_values(added)
    return parser


def _trainer_options() -> Mapping[str, Mapping[str, str]]:
    """Return the options of each Trainer verb, with a few words on each."""
    from leaplan.cli import parsers

    return {
        verb: {
            name: (str(action.help) if action.help else "").partition("\n")[0].replace("%", "%%")
            for action in parser._actions
            for name in action.option_strings
            if name.startswith("--") and name != "--help" and action.help != argparse.SUPPRESS
        }
        for verb, parser in parsers().items()
    }


def _complete_values(parser: argparse.ArgumentParser) -> None:
    """Say of each option that takes one that it takes a file, or the name of a configuration."""
    import shtab

    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                _complete_values(each)
        elif action.option_strings == ["--config"] or action.dest in ("study", "name"):
            action.complete = _names()  # type: ignore[attr-defined]
        elif action.type is Path or action.dest in ("runs", "root", "ckpt_path", "files", "weights"):
            action.complete = shtab.FILE  # type: ignore[attr-defined]


def _names() -> Mapping[str, str | Mapping[str, str]]:
    """Return what completes names of shipped configurations, and files, as shtab takes it."""
    names = " ".join(sorted({path.stem for path in shipped()}))
    bash = f'_leaplan_configs() {{ compgen -W "{names}" -- "$1"; compgen -f -- "$1"; }}'
    zsh = f'_leaplan_configs() {{ _alternative "names:name:({names})" "files:file:_files" }}'
    fish = f"function _leaplan_configs\n  string split ' ' '{names}'\n  __fish_complete_path (commandline -ct)\nend"
    return {
        "bash": "_leaplan_configs",
        "zsh": "_leaplan_configs",
        "fish": "(_leaplan_configs)",
        "preamble": {"bash": bash, "zsh": zsh, "fish": fish},
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "leaplan completion",
        description="Print a script that completes verbs, options, files and names of configurations in your shell.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("shell", choices=SHELLS, help="which shell")
    return parser
