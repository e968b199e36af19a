"""What all tests share: no network, one thread, and the folder of real data where there is one."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("LEAPLAN_SHARED", REPOSITORY.parent / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder that holds `data/` and `golden/`: real annotations, real features, official numbers."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"no real data: {SHARED}/data does not exist (set LEAPLAN_SHARED)")
    return SHARED


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout that the tests belong to."""
    return REPOSITORY
