"""The image installs what was tested together, and nothing in it runs as root."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
DOCKER = ROOT / "docker"
VENV = "/opt/venv"


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions and their arguments, continued lines joined."""
    text = re.sub(r"\\\n", " ", (DOCKER / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


def install_lines() -> list[str]:
    """Return the commands that make the virtual environment and install into it."""
    return [rest for word, rest in instructions() if word == "RUN" and VENV in rest]


def pins() -> dict[str, str]:
    lines = (line.partition("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines())
    return {plain(name): version for name, _, version in (line.partition("==") for line in lines if line)}


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_image_installs_with_the_constraints():
    installing = [line for line in install_lines() if "install" in line]
    assert installing
    assert all("-c constraints.txt" in line for line in installing)


def test_what_the_image_copies_is_there_and_not_ignored():
    kept = [line[1:] for line in (DOCKER / "Dockerfile.dockerignore").read_text().splitlines() if line[0] == "!"]
    for sources in (rest.split()[:-1] for word, rest in instructions() if word == "COPY"):
        for source in sources:
            assert (ROOT / source).exists(), source
            assert source in kept


def test_what_the_package_links_to_is_copied_before_it_is_installed():
    """A wheel that is built without the configurations lacks them, and nothing says so."""
    steps = instructions()
    installed = next(place for place, (_, rest) in enumerate(steps) if "pip install" in rest)
    copied = {ROOT / source for word, rest in steps[:installed] if word == "COPY" for source in rest.split()[:-1]}
    links = [path.resolve() for path in (ROOT / "src").rglob("*") if path.is_symlink()]
    assert links
    assert copied >= set(links)


def test_the_image_does_not_run_as_root_and_starts_leaplan():
    words = [word for word, _ in instructions()]
    user = next(rest for word, rest in instructions() if word == "USER")
    assert user not in ("root", "0")
    assert words.index("USER") < words.index("ENTRYPOINT")
    assert dict(instructions())["ENTRYPOINT"] == '["leaplan"]'


def test_the_base_image_is_a_cuda_image_of_one_version():
    assert re.fullmatch(r"nvidia/cuda:\d+\.\d+\.\d+-base-\w+\.\d+", dict(instructions())["FROM"].replace(" ", ""))


def test_the_compose_file_builds_this_image_and_asks_for_gpus():
    service = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]["leaplan"]
    assert (DOCKER / service["build"]["context"] / service["build"]["dockerfile"]).resolve() == DOCKER / "Dockerfile"
    devices = service["deploy"]["resources"]["reservations"]["devices"]
    assert devices[0]["capabilities"] == ["gpu"]
    named = re.findall(r"^ARG (\w+)=", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)
    assert list(service["build"]["args"]) == named


def test_every_file_that_the_commands_for_clusters_name_is_there():
    pages = [
        DOCKER / "Dockerfile",
        DOCKER / "compose.yaml",
        *(DOCKER / "slurm").iterdir(),
        ROOT / "docs" / "cluster.md",
    ]
    for page in pages:
        for name in re.findall(r"(?:configs|docker|tests)/[\w/.-]*\w", page.read_text()):
            assert (ROOT / name).exists(), f"{page.name}: {name}"


@pytest.mark.slow
@pytest.mark.skipif("LEAPLAN_TEST_INSTALL" not in os.environ, reason="set LEAPLAN_TEST_INSTALL=python3; takes minutes")
def test_the_install_lines_make_an_environment_of_the_versions_in_the_constraints(tmp_path):
    """Images cannot be pulled everywhere; what is run in them can."""
    folder, venv = tmp_path / "leaplan", tmp_path / "venv"
    folder.mkdir()
    refuse_offline(tmp_path / "probe")
    for word, rest in instructions():
        if word == "COPY":
            copy_all(rest.split()[:-1], folder)
        elif word == "RUN" and VENV in rest:
            words = shlex.split(rest.replace(VENV, str(venv)).replace("--no-cache-dir ", ""))
            words[0] = os.environ["LEAPLAN_TEST_INSTALL"] if words[0] == "python3" else words[0]
            subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True)
    found = {plain(each.metadata["Name"]): each.version for each in distributions(path=site_of(venv))}
    wanted = pins()
    assert {name: version.partition("+")[0] for name, version in found.items() if name in wanted} == {
        name: version for name, version in wanted.items() if name in found
    }
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [venv / "bin" / "leaplan", "configs", "list"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=clean, cwd=tmp_path)
    assert "experiment/planllm_synthetic_t3" in said.stdout


def copy_all(sources: list[str], folder: Path) -> None:
    """Copy files and folders as an image gets them: links stay links."""
    for source in sources:
        if (ROOT / source).is_dir():
            built = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / source, folder / source, symlinks=True, ignore=built)
        else:
            shutil.copy(ROOT / source, folder / source)


def refuse_offline(folder: Path) -> None:
    """Skip where pip reaches no index."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), "wheel"]
    if subprocess.run(command, capture_output=True, timeout=60).returncode:
        pytest.skip("pip reaches no package index")


def site_of(venv: Path) -> list[str]:
    return [str(path) for path in venv.glob("lib/python*/site-packages")]
