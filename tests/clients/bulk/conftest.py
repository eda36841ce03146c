"""Inputs, and a relay in front of a served bundle that fails as a test says."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # bulk_runs, relay

from relay import Relay

from dualtower_clients import Recommender


@pytest.fixture
def relay(served) -> Iterator[Callable[..., Relay]]:
    """Starts a server that passes everything on to the served bundle, or fails on the way."""
    started: list[Relay] = []

    def start(*args: Any, address: str = served.address, **settings: Any) -> Relay:
        started.append(Relay(address, *args, **settings))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture(scope="session")
def direct(served) -> Iterator[Recommender]:
    """The oracle: the same bundle, asked directly."""
    with Recommender(served.address) as recommender:
        yield recommender
