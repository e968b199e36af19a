"""What README.md, CONTRIBUTING.md and docs/*.md show: code blocks, commands, references to code."""

import re
import shlex
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


@dataclass(frozen=True)
class Command:
    """A command of a page; one within a sentence may be told in part."""

    page: str
    text: str
    inline: bool

    @property
    def words(self) -> list[str]:
        """Program and arguments, without comment, redirection and setting of variables."""
        words = shlex.split(self.text, comments=True)
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
