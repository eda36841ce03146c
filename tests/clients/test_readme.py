"""The defaults that the README of the clients names are those of the code."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

import dualtower_clients
from dualtower_clients import (
    BalancePolicy,
    ChannelSettings,
    HedgePolicy,
    Recommender,
    RetryPolicy,
    decode,
)
from dualtower_clients.bulk import BulkOptions
from dualtower_clients.index import FaissBackend, MilvusBackend, UsearchBackend

README = Path(dualtower_clients.__file__).parents[1] / "README.md"
CODE = {
    one.__name__: one
    for one in (
        Recommender, ChannelSettings, RetryPolicy, HedgePolicy, BalancePolicy, decode,
        BulkOptions, UsearchBackend, FaissBackend, MilvusBackend,
    )
}  # fmt: skip
NO_DEFAULT = {"address", "tensor", "uri"}


def named() -> dict[str, dict[str, object]]:
    """Per name in the first column of the table, the defaults of the second one."""
    found: dict[str, dict[str, object]] = {}
    of = ""
    for line in README.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) != 3:
            continue
        of = cells[0].strip("`") or of
        for name, value in re.findall(r"`(\w+)=([^`]+)`", cells[1]):
            found.setdefault(of, {})[name] = ast.literal_eval(value)
    return found


def of_code(thing: object) -> dict[str, object]:
    parameters = inspect.signature(thing).parameters
    return {name: one.default for name, one in parameters.items() if name not in NO_DEFAULT}


@pytest.mark.parametrize("name", CODE)
def test_defaults_are_those_of_the_code(name):
    code = of_code(CODE[name])
    for default, value in named()[name].items():
        assert code[default] == value, default


@pytest.mark.parametrize("name", sorted(set(CODE) - {"Recommender", "BulkOptions"}))
def test_no_default_is_left_out(name):
    assert set(named()[name]) == set(of_code(CODE[name]))


def test_those_of_other_rows_are_the_only_ones_left_out():
    rest = {"settings", "policy", "label", "version", "expect_fingerprint"}
    for name in ("Recommender", "BulkOptions"):
        assert set(of_code(CODE[name])) - set(named()[name]) <= rest
