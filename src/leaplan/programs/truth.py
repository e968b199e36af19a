"""Programs of a file against true ones: those of the synthetic kitchen, or those of another programs file."""

from pathlib import Path

from leaplan.errors import DataError
from leaplan.programs.datasets import kitchen_folder
from leaplan.programs.kitchen import kitchen_programs
from leaplan.programs.kitchen_evidence import evidence_files
from leaplan.programs.language import Language, Program
from leaplan.programs.rows import read_rows
from leaplan.programs.scoring import Scores, score
from leaplan.reading import document_of

MOST = 32  # sub-actions of a program that are looked at


def score_against(path: Path, truth: Path, language: Language) -> Scores:
    """Return the scores of the programs in `path`; a clip without a valid one counts as predicted nothing.

    Args:
        path: A programs file.
        truth: Folder of the synthetic kitchen, or a programs file.
        language: Of both.

    Raises:
        DataError: A file cannot be read, or the two have no clip in common.
    """
    true = true_programs(truth, language)
    rows = [row for row in read_rows(path) if row.clip in true]
    if not rows:
        raise DataError(f"{path} and {truth} have no clip in common", "Compare programs of the same dataset")
    predicted = [row.read_program(language) if row.state == "ok" else None for row in rows]
    return score(predicted, [true[row.clip] for row in rows], MOST)


def true_programs(truth: Path, language: Language) -> dict[str, Program]:
    """Return the true program of each clip."""
    if truth.is_dir():
        files = evidence_files(kitchen_folder(truth)).values()
        return {clip: program for file in files for clip, program in kitchen_programs(document_of(file)).items()}
    programs = {row.clip: row.read_program(language) for row in read_rows(truth)}
    return {clip: program for clip, program in programs.items() if program is not None}


def show(scores: Scores) -> str:
    """Return the scores as lines of text, fractions in percent."""
    lines = [f"against the truth, {scores.programs:,} clips, percent:"]
    told = scores.summary()
    for name in ("sub_action", "verb", "hand", "pre_condition", "post_condition"):
        lines.append(f"  {name.replace('_', '-')} F1: {100 * told[f'{name}_f1']:.1f}")
    lines.append(f"  order (1 - edit distance): {100 * told['order']:.1f}   exactly right: {100 * told['exact']:.1f}")
    return "\n".join(lines)
