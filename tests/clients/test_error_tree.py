"""The tree that is drawn in the docstring of the errors is the tree that there is."""

from __future__ import annotations

import re

import dualtower.errors
from dualtower_clients import errors


def drawn() -> dict[str, str]:
    """Parent by class, as the lines of the drawing stand below one another."""
    parents: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^([ │├└─]+)(?:dualtower\.)?([A-Z]\w+)(  |$)", line)
        if not found:
            continue
        indent, name = len(found[1]), found[2]
        while above and above[-1][0] >= indent:
            above.pop()
        parents[name] = above[-1][1] if above else ""
        above.append((indent, name))
    return parents


def test_the_drawing_is_the_tree():
    parents = drawn()
    assert parents.pop("DualtowerError") == ""
    for name, parent in parents.items():
        kind = getattr(errors, name, None) or getattr(dualtower.errors, name)
        assert kind.__base__.__name__ == parent


def test_everything_that_the_clients_raise_is_drawn():
    assert set(errors.__all__) <= set(drawn())
    assert {"UsageError", "UnavailableError", "BundleError"} <= set(drawn())
