"""What `leaplan info` tells: enough to reproduce a fault, and nothing that belongs to the user alone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from leaplan import info
from leaplan.__main__ import main


def test_it_tells_versions_devices_decoders_and_caches(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".cache" / "leaplan" / "kitchen").mkdir(parents=True)
    (tmp_path / ".cache" / "leaplan" / "kitchen" / "video.mp4").write_bytes(bytes(3 * 2**20))
    assert main(["info", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"leaplan", "system", "devices", "libraries", "decoders", "caches", "environment"} == found.keys()
    assert found["libraries"]["torch"].startswith("2.")
    assert found["decoders"]["auto"] == "pyav"
    assert found["devices"]["CUDA of torch"] == (torch.version.cuda or "no")
    assert found["caches"]["~/.cache/leaplan/kitchen"] == {"files": 1, "MiB": 3.0}
    assert main(["info"]) == 0
    lines = capsys.readouterr().out
    assert "3.0 MiB in 1 files" in lines
    assert str(tmp_path) not in lines


def test_keys_and_the_home_folder_are_not_told(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("HF_HOME", "/home/somebody/hub")
    monkeypatch.setenv("DATABASE_PASSWORD", "hunter2")
    told = json.dumps(info.gathered())
    assert not any(word in told for word in ("sk-secret", "somebody", "hunter2"))
    assert '"OPENAI_API_KEY": "set"' in told


def test_a_checkout_tells_its_commit_and_an_installation_nothing(monkeypatch, tmp_path):
    if (Path(info.__file__).resolve().parents[2] / ".git").exists():
        assert info._checkout()["git"]
    (tmp_path / ".git").mkdir()  # of a project that leaplan is installed into
    monkeypatch.setattr(info, "__file__", str(tmp_path / ".venv/lib/python3.11/site-packages/leaplan/info.py"))
    assert info._checkout() == {}


@pytest.mark.skipif(sys.platform == "darwin", reason="PyTorch is asked for the graphics of every Mac")
def test_without_a_graphics_card_nothing_heavy_is_imported():
    code = (
        "import sys; from leaplan import info; info.DRIVERS = (); info.main([]);"
        "print({'torch', 'transformers', 'lightning', 'av', 'decord'} & sys.modules.keys())"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.splitlines()[-1] == "set()"
