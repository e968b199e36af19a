"""Two processes for all tests that need two and kill none."""

from collections.abc import Iterator

import pytest

from tests.ddp.two_processes import Pair


@pytest.fixture(scope="session")
def pair() -> Iterator[Pair]:
    running = Pair()
    yield running
    running.end()
