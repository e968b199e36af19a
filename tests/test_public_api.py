"""From Python: what `import leaplan` gives, and what it costs."""

import subprocess
import sys

import pytest

import leaplan
from leaplan.errors import ConfigError
from tests.small_niv import write_small_niv


def test_importing_leaplan_imports_nothing_heavy():
    heavy = "torch", "numpy", "lightning", "PIL", "rich"
    code = f"import sys, leaplan; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_every_name_of_the_data_is_there_documented_and_no_other():
    for name in leaplan.data.__all__:
        assert getattr(leaplan.data, name).__doc__, name
    with pytest.raises(AttributeError, match="has no attribute 'Nib'"):
        leaplan.data.Nib  # noqa: B018


def test_annotations_need_no_features(tmp_path):
    data = leaplan.data.Niv(write_small_niv(tmp_path)).setup()
    assert {video.split for video in data.annotations.videos} == {"train", "val", "test"}
    with pytest.raises(ConfigError, match="no source of features or frames"):
        data.observe(data.annotations, ["test"])
