"""Errors say what they say in another process too: every class of dualtower and of its clients."""

from __future__ import annotations

import copy
import importlib
import inspect
import multiprocessing
import pickle
import pkgutil

import pytest

import dualtower
import dualtower_clients
from dualtower.errors import BundleMismatch
from dualtower_clients import DeadlineExceeded
from dualtower_clients.testing import Refusal

GIVEN = {Refusal: ("INTERNAL", "why")}  # that take more than words


def error_classes() -> list[type[BaseException]]:
    found = set()
    for package in (dualtower, dualtower_clients):
        for one in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            module = importlib.import_module(one.name)
            found |= {
                value
                for value in vars(module).values()
                if inspect.isclass(value)
                and issubclass(value, BaseException)
                and value.__module__.partition(".")[0] in ("dualtower", "dualtower_clients")
            }
    return sorted(found, key=lambda kind: kind.__name__)


def made(kind: type[BaseException]) -> BaseException:
    """An error of this class, each of its arguments a text of its own."""
    if kind in GIVEN:
        return kind(*GIVEN[kind])
    if "__init__" not in vars(kind) and not inspect.isfunction(kind.__init__):
        return kind("words")
    parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
    words = [
        f"its {one.name}"
        for one in parameters
        if one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    ]
    named = {
        one.name: f"its {one.name}"
        for one in parameters
        if one.kind is inspect.Parameter.KEYWORD_ONLY
    }
    return kind(*words, **named)


@pytest.mark.parametrize("kind", error_classes(), ids=lambda kind: kind.__name__)
def test_an_error_survives_a_pickle(kind):
    error = made(kind)
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is kind
        assert str(again) == str(error)
        assert again.args == error.args
        assert vars(again) == vars(error)


def fail(which: str) -> None:
    if which == "mismatch":
        raise BundleMismatch(expected="a", found="b", where="here", repair="do this")
    raise DeadlineExceeded("late", address="localhost:1", attempts=2)


def test_errors_come_back_from_a_worker():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        with pytest.raises(BundleMismatch, match=r"expected a, found b; do this") as mismatch:
            pool.apply_async(fail, ["mismatch"]).get(timeout=30)
        assert (mismatch.value.expected, mismatch.value.found) == ("a", "b")
        with pytest.raises(DeadlineExceeded, match="late") as late:
            pool.apply_async(fail, ["late"]).get(timeout=30)
        assert (late.value.address, late.value.attempts) == ("localhost:1", 2)
        assert late.value.retryable
