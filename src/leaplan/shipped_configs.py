"""The verb `configs`, and the names by which `--config` finds the experiments that come with leaplan."""

import argparse
import difflib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml
from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table

from leaplan.errors import ConfigError
from leaplan.reading import text_of
from leaplan.writing import write_text

SHIPPED = Path(__file__).parent / "configs"  # in a clone a link to the configs/ at its top
FIRST = ("experiment", "study", "ablation")  # kinds that a command names; the others are their parts
NAME = re.compile(r"(?:configs/)?(?:\w+/)?[\w-]+(?:\.yaml)?")
SEE_ALL = "See them all:  leaplan configs list"
EXAMPLES = """examples:
  leaplan configs list experiment
  leaplan configs show plan_synthetic_t3
  leaplan configs copy plan_synthetic_t3 --to mine
  leaplan fit --config plan_synthetic_t3

exit code: 0 done, 2 there is no such configuration, or a copy would replace a changed file"""


def main(argv: list[str]) -> int:
    """Run `leaplan configs` and return 0.

    Raises:
        ConfigError: There is no such configuration, or a copy would replace a file with another content.
    """
    options = _parser().parse_args(argv)
    if options.what == "list":
        print_list(options.kind)
    elif options.what == "show":
        show(find(options.name))
    else:
        copied = copy(find(options.name), options.to, options.overwrite)
        print("\n".join(f"written: {path}" for path in copied))
        if copied[0].parent.name == "experiment":
            print(f"train it:  leaplan fit --config {copied[0]}")
    return 0


# --- names


def find(name: str) -> Path:
    """Return the file of a configuration that comes with leaplan.

    Args:
        name: "plan_synthetic_t3", or with its kind, "experiment/plan_synthetic_t3"; `configs/` and `.yaml` do no harm.

    Raises:
        ConfigError: There is none, or several kinds have one.
    """
    plain = name.removeprefix("configs/").removesuffix(".yaml")
    found = [path for path in shipped() if plain in (path.stem, name_of(path))]
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(f"'{name}' may be {' or '.join(map(name_of, found))}", "Say which of them")
    names = {path.stem: path.stem for path in shipped()} | {name_of(path): name_of(path) for path in shipped()}
    close = difflib.get_close_matches(plain, names, 1, cutoff=0.5)
    guess = f"; did you mean '{close[0]}'?" if close else ""
    raise ConfigError(f"there is no configuration '{name}' in leaplan{guess}", SEE_ALL)


def shipped() -> list[Path]:
    """Return all files, experiments first."""
    kinds = sorted({path.parent.name for path in SHIPPED.glob("*/*.yaml")} - set(FIRST))
    return [path for kind in (*FIRST, *kinds) for path in sorted((SHIPPED / kind).glob("*.yaml"))]


def name_of(path: Path) -> str:
    """Return how `leaplan configs list` calls a file, such as "experiment/plan_synthetic_t3"."""
    return f"{path.parent.name}/{path.stem}"


def config_file(given: str) -> str:
    """Return the file that `--config` means: that path where there is one, else what comes with leaplan by that name.

    A path to another file is left as it is, for whoever reads it to refuse, unless it is no text at all.

    Raises:
        ConfigError: It is a name, and there is no such configuration.
        DataError: Not UTF-8 text.
    """
    if Path(given).is_file():
        text_of(Path(given))
    if Path(given).exists() or not NAME.fullmatch(given):
        return given
    plain = given.startswith("configs/") or not given.endswith(".yaml")
    return str(find(given)) if plain else given


def with_files(arguments: Sequence[str]) -> list[str]:
    """Return a command line with a file for each name that follows `--config`. Raises as `config_file`."""
    words = list(arguments)
    for place, word in enumerate(words):
        if word.startswith("--config="):
            words[place] = f"--config={config_file(word.removeprefix('--config='))}"
        elif word == "--config" and place + 1 < len(words):
            words[place + 1] = config_file(words[place + 1])
    return words


# --- list, show, copy


def print_list(kind: str | None) -> None:
    """Print the names of all files, or of a kind, and what the first line of each says.

    Raises:
        ConfigError: There is no such kind.
    """
    paths = [path for path in shipped() if kind in (None, path.parent.name)]
    if not paths:
        kinds = dict.fromkeys(path.parent.name for path in shipped())
        raise ConfigError(f"there are no configurations of kind '{kind}'", f"There are {', '.join(kinds)}")
    console = Console(highlight=False)
    table = Table.grid(padding=(0, 3, 0, 0))
    for path in paths:
        if console.is_terminal:
            table.add_row(f"[cyan]{name_of(path)}[/cyan]", _said(path))
        else:
            print(f"{name_of(path):<{max(len(name_of(each)) for each in paths)}}  {_said(path)}")
    if console.is_terminal:
        console.print(table)


def _said(path: Path) -> str:
    """Return the first comment of a file; a command in it names files by the names that work anywhere."""
    line = path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("#").strip()
    return re.sub(r"configs/\w+/([\w-]+)\.yaml", r"\1", line)


def show(path: Path) -> None:
    """Print a file, in colours on a terminal."""
    text = path.read_text(encoding="utf-8")
    console = Console()
    if console.is_terminal:
        console.print(Syntax(text, "yaml", background_color="default", word_wrap=True))
    else:
        print(text, end="")


def copy(path: Path, to: Path, overwrite: bool = False) -> list[Path]:
    """Copy a file and all that it names into the same folders below `to`, and return the copies, its own first.

    Raises:
        ConfigError: A file there has another content, and `overwrite` is not set, and nothing is written then; or
            the folder cannot be written.
    """
    files = list(dict.fromkeys(with_parts(path)))
    copies = [to / file.parent.name / file.name for file in files]
    contents = [file.read_text(encoding="utf-8") for file in files]
    for copied, content in zip(copies, contents, strict=True):
        if copied.exists() and not overwrite and copied.read_text(encoding="utf-8") != content:
            raise ConfigError(f"{copied} is there, with another content", "Choose another --to, or say --overwrite")
    try:
        for copied, content in zip(copies, contents, strict=True):
            write_text(copied, content)
    except OSError as error:
        raise ConfigError(f"{to} cannot be written ({error.strerror or error})", "Choose another --to") from error
    return copies


def with_parts(path: Path) -> Iterator[Path]:
    """Yield a file, and those that it names, and those that they name."""
    yield path
    for value in _texts(yaml.safe_load(path.read_text(encoding="utf-8"))):
        named = SHIPPED / path.parent.name / value
        if value.endswith(".yaml") and named.is_file():
            yield from with_parts(SHIPPED / named.resolve().parent.name / named.name)


def _texts(content: object) -> Iterator[str]:
    """Yield all texts in what a YAML file holds."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict | list):
        for each in content.values() if isinstance(content, dict) else content:
            yield from _texts(each)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "leaplan configs",
        description="See and copy the configurations that come with leaplan. fit and study take their names, too.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verbs = parser.add_subparsers(dest="what", required=True, metavar="list|show|copy")
    listed = verbs.add_parser("list", help="tell their names and what they are for")
    listed.add_argument("kind", nargs="?", metavar="KIND", help="experiment, study, ablation, data, model, ...")
    shown = verbs.add_parser("show", help="print one")
    shown.add_argument("name", metavar="NAME", help="such as plan_synthetic_t3 or model/planner")
    copied = verbs.add_parser("copy", help="copy one, with all parts that it names, to change it")
    copied.add_argument("name", metavar="NAME", help="such as plan_synthetic_t3")
    copied.add_argument("--to", type=Path, default=Path("configs"), metavar="DIR", help="default: configs")
    copied.add_argument("--overwrite", action="store_true", help="also replace files that were changed")
    return parser
