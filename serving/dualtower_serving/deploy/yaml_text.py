"""YAML as people write it: keys in our order, several lines as a block, a comment on top.

Objects are dumped rather than templates filled, so that no value can break out of its place.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

__all__ = ["yaml_text"]


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
        return super().increase_indent(flow, False)  # lists are indented below their key


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _string)


def yaml_text(*documents: Any, why: Iterable[str] = ()) -> str:
    """The documents as one file.

    Args:
        documents: plain dicts, lists, strings and numbers.
        why: lines of the comment on top.
    """
    comment = "".join(f"# {line}\n" if line else "#\n" for line in why)
    bodies = [
        yaml.dump(one, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)
        for one in documents
    ]
    return comment + "---\n".join(bodies)
