"""The notebooks: small, with their pictures committed, and still true of the demo runs."""

import json
from pathlib import Path

import pytest

BOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
SECONDS = 60
NEEDS = {
    "look_at_a_plan": ("runs/planllm-synthetic-t3/results.json",),
    "programs_of_a_kitchen_clip": ("runs/leap-recognise-7/results.json", "programs/kitchen/programs.jsonl"),
    "compare_runs": tuple(
        f"runs/leap-{kind}-7/predictions/test.npz"
        for kind in ("recognise", "recognise-plain", "anticipate", "anticipate-features")
    ),
}


def cells_of(path: Path, kind: str) -> list[dict]:
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == kind]


@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_short_and_shows_pictures_without_errors_or_names_of_this_computer(path):
    assert path.stem in NEEDS
    code = cells_of(path, "code")
    outputs = [output for cell in code for output in cell["outputs"]]
    assert 1 < len(code) < 9
    assert sum("image/png" in each.get("data", {}) for each in outputs) >= 2
    assert not [each for each in outputs if each["output_type"] == "error" or each.get("name") == "stderr"]
    assert "/home/" not in path.read_text(encoding="utf-8")
    assert path.stat().st_size < 700_000


@pytest.mark.slow
@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_on_the_demo_runs(path, repository):
    nbformat = pytest.importorskip("nbformat", reason="the extra notebooks is not installed")
    nbclient = pytest.importorskip("nbclient", reason="the extra notebooks is not installed")
    absent = [name for name in NEEDS[path.stem] if not (repository / name).is_file()]
    if absent:
        pytest.skip(f"no demo run: {absent[0]} is missing (make train-planllm train-leap)")
    book = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(book, timeout=SECONDS, resources={"metadata": {"path": str(repository)}}).execute()
