"""Programs by rules of all real clips: the documentation shows what the command prints, and labels are exact."""

import re

import numpy as np
import pytest

from leaplan.__main__ import main
from leaplan.programs.datasets import epic_dataset
from leaplan.programs.encode import Encoder
from leaplan.programs.unroll import unroll

SLOTS = 16


def test_the_documentation_shows_what_the_command_prints(shared, repository, capsys):
    text = (repository / "docs" / "programs.md").read_text(encoding="utf-8")
    section = text[text.index("### Real evidence") :]
    command = re.search(r"^leaplan (.*)$", section, re.M)[1].replace("/data", str(shared / "data")).split()
    shown = re.search(r"```text\n(.*?)\n```", section, re.S)[1]
    assert main(command) == 0
    assert capsys.readouterr().out.rstrip() == shown


@pytest.mark.slow
def test_labels_of_all_real_clips_decode_to_the_unrolled_sub_actions(shared):
    dataset = epic_dataset(shared / "data", ["train", "val"])
    programs = {id(p): p for p in map(dataset.rules.program_for, dataset.clips)}  # equal clips share a program
    programs = list(programs.values())
    encoder = Encoder.of(programs, dataset.language, SLOTS)
    encoded = encoder.encode_all(programs)
    wrong = sum(
        encoder.decode(encoded[number]) != unroll(program, SLOTS).sub_actions for number, program in enumerate(programs)
    )
    print(f"{len(dataset.clips):,} clips, {len(programs):,} different programs, {len(encoder.conditions)} conditions")
    assert wrong == 0
    assert not np.any([encoded[number].dropped for number in range(len(programs))])
