"""What README.md, CONTRIBUTING.md and docs/*.md show: code blocks, commands, references to code."""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = (REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").glob("*.md")))
SHELL = ("", "bash", "sh", "console", "shell")
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:PYTHONPATH=\S+ )?(?:leaplan|make)(?= |$)")
INLINE = re.compile(r"`((?:PYTHONPATH=\S+ )?(?:leaplan|make) [^`]+)`")
ENDS = {">", ">>", "|", "&&", "||", ";", "&"}
TRAINER = ("fit", "validate", "test", "predict")
EXPERIMENT = "configs/experiment/planllm_synthetic_t3.yaml"


@dataclass(frozen=True)
class Command:
    """A command of a page; one within a sentence may be told in part."""

    page: str
    text: str
    inline: bool

    @property
    def words(self) -> list[str]:
        """Program and arguments, what stands in brackets too, without comment, redirection and setting of variables."""
        words = shlex.split(re.sub(r"\[(--[^]]*)\]", r"\1", self.text), comments=True)
        end = next((place for place, word in enumerate(words) if word in ENDS), len(words))
        return [word for word in words[:end] if not word.startswith("PYTHONPATH=")]

    def __str__(self) -> str:
        return f"{self.page}: {' '.join(self.words)}"


def blocks(page: Path, languages: tuple[str, ...]) -> Iterator[str]:
    """Yield the code blocks of `page` in one of `languages`."""
    for language, text in FENCE.findall(page.read_text(encoding="utf-8")):
        if language in languages:
            yield text


def commands() -> list[Command]:
    """Return every command of ours on any page, each once per page."""
    found: dict[Command, None] = {}
    for page in PAGES:
        for block in blocks(page, SHELL):
            lines = block.replace("\\\n", " ").splitlines()
            found |= {Command(page.name, line.strip(), False): None for line in lines if COMMAND.match(line.strip())}
        prose = FENCE.sub("", page.read_text(encoding="utf-8"))
        found |= {Command(page.name, " ".join(text.split()), True): None for text in INLINE.findall(prose)}
    return list(found)


def named_files(page: Path) -> dict[str, str]:
    """Return the code blocks that begin with their file's name in a comment: name to content."""
    texts = (text for text in blocks(page, ("python", "yaml")))
    return {name[1]: text for text in texts if (name := re.match(r"# (\S+\.(?:py|yaml))\n", text))}


def arguments_of(words: list[str], folder: Path) -> list[str]:
    """Return the arguments of a leaplan command, with something that exists for what is not here.

    Files of docs/extending.md lie in `folder`; settings of a run are those of its experiment.
    """
    return [_standing_in(word, folder) for word in words]


def _standing_in(word: str, folder: Path) -> str:
    if word in ("...", "…", "EXPERIMENT.yaml"):
        return EXPERIMENT
    if run := re.fullmatch(r"runs/([\w-]+)/config\.yaml", word):
        return f"configs/experiment/{run[1].replace('-', '_')}.yaml"
    return str(folder / word) if "/" not in word and (folder / word).is_file() else word


def first_line_of_an_experiment(words: list[str]) -> bool:
    """Whether an experiment's first line is this command; tests/test_configs.py parses those."""
    path = REPOSITORY / words[2] if words[:2] == ["fit", "--config"] else REPOSITORY
    return path.is_file() and path.read_text(encoding="utf-8").splitlines()[0] == f"# leaplan {' '.join(words)}"


def calls_of_make(command: Command, folder: Path) -> list[list[str]]:
    """Return what a make command calls of ours: a virtual environment that looks complete writes it down."""
    venv = folder / "venv"
    (venv / "bin").mkdir(parents=True)
    for name in ("leaplan", "python", "ruff", "mypy"):
        program = venv / "bin" / name
        line = f'line=$(printf "%s\\037" {name} "$@")'
        program.write_text(
            f'#!/bin/sh\n{line}\nprintf "%s\\n" "$line" >> "{venv}/calls"\n'
        )  # in one write: make runs two
        program.chmod(0o755)
    for name in (".python", ".installed", ".installed-dev"):
        (venv / name).touch()
    words = [f"CONFIG={EXPERIMENT}" if word == "CONFIG=..." else word for word in command.words[1:]]
    ours = {name: value for name, value in os.environ.items() if name not in ("CONFIG", "DATA_ROOT", "SEEDS", "ARGS")}
    environment = {**ours, "MAKEFLAGS": "", "NODE_RANK": "0", "MASTER_ADDR": "first", "MASTER_PORT": "29500"}
    done = subprocess.run(
        ["make", f"VENV={venv}", *words], cwd=REPOSITORY, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"
    lines = (venv / "calls").read_text(encoding="utf-8").splitlines() if (venv / "calls").is_file() else []
    called = [line.split("\037")[:-1] for line in lines]
    return [arguments for program, *arguments in called if program == "leaplan"]
