"""How much of a TFLite file XNNPACK takes over, read off the interpreter's own graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Delegation", "delegation_of"]

_DELEGATE = "DELEGATE"


@dataclass(frozen=True)
class Delegation:
    """Ops of the file, how many of them a delegate computes, and in how many pieces."""

    ops: int
    delegated_ops: int
    partitions: int


def delegation_of(interpreter: Any) -> Delegation:
    """Of an interpreter whose tensors were allocated once.

    A delegate's node stands behind the ops that it replaced, which stay listed: they are those
    that lead from its inputs to its outputs.
    """
    nodes = interpreter._get_ops_details()
    own = [node for node in nodes if node["op_name"] != _DELEGATE]
    made_by = {int(tensor): node["index"] for node in own for tensor in node["outputs"]}
    inputs_of = {node["index"]: [int(tensor) for tensor in node["inputs"]] for node in own}
    taken: set[int] = set()
    pieces = [node for node in nodes if node["op_name"] == _DELEGATE]
    for piece in pieces:
        given = {int(tensor) for tensor in piece["inputs"]}
        waiting = [int(tensor) for tensor in piece["outputs"]]
        while waiting:
            tensor = waiting.pop()
            if tensor in given or (node := made_by.get(tensor)) is None or node in taken:
                continue
            taken.add(node)
            waiting.extend(inputs_of[node])
    return Delegation(len(own), len(taken), len(pieces))
