"""What all tests share: no network, one thread, and the folder of real data where there is one."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ["OMP_NUM_THREADS"] = "1"  # a test runs on every core: more threads would wait for each other

# Started in the background, a shell makes us ignore Ctrl-C, and so would all that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples on every machine, however slow or busy it is.
settings.register_profile("leaplan", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("leaplan")

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
