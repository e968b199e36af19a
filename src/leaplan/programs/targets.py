"""From a programs file to labels for training, in one step: read, encode, and know which clip has which row."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from leaplan.errors import DataError, ProblemList
from leaplan.programs.datasets import language_at
from leaplan.programs.encode import EncodedPrograms, Encoder
from leaplan.programs.language import LEAP, Language, Program
from leaplan.programs.rows import Row, read_rows

CHECK = "Check it:  leaplan check-programs {}"


@dataclass(frozen=True, slots=True)
class Targets:
    """Programs of clips as labels.

    Args:
        encoder: What the labels mean; its conditions are those of the training clips' programs.
        encoded: Labels of N programs.
        row_of: Clip id to its row.
        notes: What a reader of results must know: clips without a program, programs of unknown clips.
    """

    encoder: Encoder
    encoded: EncodedPrograms
    row_of: Mapping[str, int]
    notes: tuple[str, ...]


def read_targets(
    path: Path, training: Collection[str], known: Collection[str], root: Path, slots: int = 16, min_count: int = 1
) -> Targets:
    """Return the programs of `path` that are without faults, as labels.

    Args:
        path: `programs.jsonl` or `programs.parquet`.
        training: Ids of the training clips; conditions become classes by their programs alone.
        known: Ids of all clips of the dataset.
        root: The dataset's folder, which tells the words of its programs.
        slots: K, sub-actions kept per program.
        min_count: Conditions that occur less often in training are left out.

    Raises:
        DataError: The file is missing, damaged, of another schema, or its programs are of other clips.
        ProblemList: Programs cannot be read, or a clip has several.
    """
    rows = read_rows(path)
    strangers = [row.clip for row in rows if row.clip not in known]
    if rows and len(strangers) == len(rows):
        raise DataError(
            f"{path}: none of its {len(rows)} clips is in this dataset, such as '{strangers[0]}'",
            "Give the programs of this dataset:  leaplan generate-programs --help",
        )
    kept = [row for row in rows if row.clip in known and row.state == "ok"]
    language = _language(kept, root)
    programs = _programs(path, kept, language)
    learnt = [program for row, program in zip(kept, programs, strict=True) if row.clip in training]
    if not learnt:
        raise DataError(f"{path} has no program of a training clip", "Make programs of the split train as well")
    encoder = Encoder.of(learnt, language, slots, min_count)
    notes = [f"{len(learnt)} of {len(training)} training clips have a program"]
    if strangers:
        notes.append(f"{len(strangers)} programs are of clips that are not in this dataset, such as '{strangers[0]}'")
    row_of = {row.clip: place for place, row in enumerate(kept)}
    return Targets(encoder, encoder.encode_all(programs), row_of, tuple(notes))


def _language(rows: list[Row], root: Path) -> Language:
    """Return the words that the rows' programs are written in."""
    names = {row.provenance.vocabulary for row in rows}
    return LEAP if names <= {"", "leap"} else language_at(root)


def _programs(path: Path, rows: list[Row], language: Language) -> list[Program | None]:
    programs, problems = [], []
    for row in rows:
        try:
            programs.append(row.read_program(language))
        except ValueError as error:  # a ProgramError, or what is no JSON
            problems.append(f"clip {row.clip}: {error}")
    problems += [f"clip {clip}: {n} programs" for clip, n in Counter(row.clip for row in rows).items() if n > 1]
    if problems:
        raise ProblemList(str(path), problems, CHECK.format(path))
    return programs
