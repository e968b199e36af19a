"""leaplan as somebody has it who never saw the repository: built, installed, and run from another folder."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

import pytest

BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_sdist(sys.argv[1]))"
NEEDED = ("src", "configs", *("setup.cfg", "pyproject.toml", "MANIFEST.in", "constraints.txt", "LICENSE"))
DOCUMENTS = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff")


def run(command: list[str], folder: Path, timeout: float = 300) -> str:
    """Return what a command prints that knows nothing of the repository, nor of what this user keeps at home."""
    hidden = ("PYTHONPATH", "HF_HOME")
    environment = {key: value for key, value in os.environ.items() if key not in hidden}
    environment |= {"HOME": str(folder), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory, repository):
    folder = tmp_path_factory.mktemp("source")
    copy = folder / "copy"
    copy.mkdir()
    for name in (*NEEDED, *DOCUMENTS):  # not runs and environments, which may be large
        if (repository / name).is_dir():
            ignored = shutil.ignore_patterns("*.egg-info", "__pycache__")
            shutil.copytree(repository / name, copy / name, ignore=ignored, symlinks=True)
        else:
            shutil.copy(repository / name, copy / name)
    run([sys.executable, "-c", BUILD, str(folder)], copy)
    return next(folder.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def installed(sdist, tmp_path_factory):
    """The folder of a fresh virtual environment that borrows this one's libraries, and a place to be in."""
    folder = tmp_path_factory.mktemp("user")
    run([sys.executable, "-m", "venv", "--without-pip", "venv"], folder)
    libraries = sysconfig.get_paths()["purelib"]
    own = next((folder / "venv" / "lib").glob("python*/site-packages"))
    (own / "borrowed.pth").write_text(libraries + "\n")
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "venv" / "bin" / "python"), "install", "--quiet"]
    run([*pip, "--no-deps", "--no-index", "--no-build-isolation", "--ignore-installed", str(sdist)], folder)
    return folder


def leaplan(folder: Path, *words: str) -> str:
    return run([str(folder / "venv" / "bin" / "leaplan"), *words], folder)


@pytest.mark.slow
def test_source_and_installation_hold_every_file_of_the_package(sdist, installed, repository):
    package = repository / "src" / "leaplan"
    files = {p.relative_to(package) for p in [*package.rglob("*"), *package.glob("configs/*/*")] if p.is_file()}
    wanted = {str(path) for path in files if "__pycache__" not in path.parts}
    with tarfile.open(sdist) as archive:
        names = archive.getnames()
    assert {name.partition("/src/leaplan/")[2] for name in names} >= wanted
    assert {f"{names[0].split('/')[0]}/{name}" for name in DOCUMENTS} <= set(names)
    there = next((installed / "venv" / "lib").glob("python*/site-packages")) / "leaplan"
    assert {str(path.relative_to(there)) for path in there.rglob("*") if path.is_file()} >= wanted


@pytest.mark.slow
def test_an_installation_runs_without_the_repository(installed):
    assert leaplan(installed, "--version").startswith("leaplan ")
    assert "experiment/plan_synthetic_t3" in leaplan(installed, "configs", "list")
    found = json.loads(leaplan(installed, "info", "--json"))["leaplan"]
    assert found["folder"].startswith("~/venv/lib/")
    assert "git" not in found
    leaplan(installed, "configs", "copy", "plan_synthetic_t3", "--to", "mine")
    assert (installed / "mine" / "data" / "synthetic.yaml").is_file()


@pytest.mark.slow
def test_the_demo_runs_without_the_repository_and_again_in_seconds(installed):
    short = ("demo", "--videos", "6", "--epochs", "1", "--no-open")
    assert "the demo took" in leaplan(installed, *short)
    made = {str(path.relative_to(installed / "runs")) for path in (installed / "runs").rglob("*") if path.is_file()}
    assert {"demo/plan.png", "demo/plan.json", "demo/actions.json", "demo/programs/programs.jsonl"} <= made
    assert {"demo-planner/results.json", "demo-recogniser/results.json"} <= made
    began = {path: path.stat().st_mtime for path in (installed / "runs").rglob("*")}
    assert "the demo took" in leaplan(installed, *short)
    assert {path: path.stat().st_mtime for path in (installed / "runs").rglob("*")} == began
