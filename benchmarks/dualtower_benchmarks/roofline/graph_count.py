"""FLOPs and bytes of one run of a graph, out of what every op of it read and wrote.

The run is a real one on real texts, and not an inference of shapes beforehand: the served graph
leaves pads out and chooses between two branches by the number of tokens, so that its shapes are
known only when it runs.

Two models of the cache stand beside each other, and the truth lies between them:

- `bytes`: none between ops. Every op reads its inputs from memory and writes its outputs to it;
  weights are read once a call; a gather reads only the rows that it takes.
- `least_bytes`: a perfect one. Weights once a call, the inputs of the graph and its outputs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dualtower_benchmarks.roofline.op_cost import ALIASES, READS_SOME, flops_of

__all__ = ["GraphCount", "OpRun", "Tensor", "count_ops"]

_WEIGHTS = frozenset({"Const", "ReadVariableOp", "VariableV2"})
_RENAMES = ALIASES - {"Shape", "ShapeN", "Size", "Rank", "_Arg"}


@dataclass(frozen=True)
class Tensor:
    """What flowed out of an op.

    Args:
        item_bytes: of a number; 0 for strings and resources, whose bytes are not counted.
    """

    shape: tuple[int, ...]
    item_bytes: int
    floating: bool

    @property
    def size_bytes(self) -> int:
        return math.prod(self.shape) * self.item_bytes


@dataclass(frozen=True)
class OpRun:
    """One run of an op: inputs as "producer" or "producer:slot", outputs by slot."""

    name: str
    op: str
    inputs: Sequence[str]
    outputs: Mapping[int, Tensor]
    equation: str = ""


@dataclass
class GraphCount:
    """Sums over runs of a graph. Counts of several calls are added with `+`."""

    rows: int = 0
    product_flops: int = 0
    other_flops: int = 0
    weight_bytes: int = 0
    activation_bytes: int = 0
    edge_bytes: int = 0
    calls: int = 1
    flops_by_op: Counter[str] = field(default_factory=Counter)
    not_counted: frozenset[str] = frozenset()

    def __add__(self, other: GraphCount) -> GraphCount:
        return GraphCount(
            self.rows + other.rows,
            self.product_flops + other.product_flops,
            self.other_flops + other.other_flops,
            self.weight_bytes + other.weight_bytes,
            self.activation_bytes + other.activation_bytes,
            self.edge_bytes + other.edge_bytes,
            self.calls + other.calls,
            self.flops_by_op + other.flops_by_op,
            self.not_counted | other.not_counted,
        )

    def as_json(self) -> dict[str, Any]:
        """Per row, over all calls that were counted."""
        flops = self.product_flops + self.other_flops
        bytes_ = self.weight_bytes + self.activation_bytes
        least = self.weight_bytes + self.edge_bytes
        return {
            "counted_calls": self.calls,
            "counted_rows": self.rows,
            "flops_per_row": flops / self.rows,
            "product_flops_share": self.product_flops / flops if flops else None,
            "bytes_per_row": bytes_ / self.rows,
            "least_bytes_per_row": least / self.rows,
            "weight_bytes_per_call": self.weight_bytes / self.calls,
            "intensity": flops / bytes_ if bytes_ else None,
            "most_intensity": flops / least if least else None,
            "flops_by_op_per_row": {
                op: count / self.rows for op, count in self.flops_by_op.most_common()
            },
            "not_counted": sorted(self.not_counted),
        }


def count_ops(runs: Iterable[OpRun], *, rows: int, edge_bytes: int) -> GraphCount:
    """One call of a graph.

    Args:
        runs: in the order in which they ended.
        edge_bytes: of the inputs and outputs of the graph.
    """
    runs = list(runs)
    total = GraphCount(rows=rows, edge_bytes=edge_bytes)
    tensors = _Tensors(runs)
    read: dict[str, int] = {}  # weight: the most bytes that were read of it
    missing: set[str] = set()
    for run in runs:
        tensors.wrote(run)
        output = run.outputs.get(0)
        if run.op in ALIASES or output is None:
            continue
        sources = [_slot(source) for source in run.inputs]
        inputs = [tensors.by_name[source] for source in sources if source in tensors.by_name]
        floating = any(tensor.floating for tensor in (*inputs, output))
        if len(inputs) < len(sources):
            missing.add(run.op)
            continue
        flops = flops_of(
            run.op,
            [tensor.shape for tensor in inputs],
            output.shape,
            equation=run.equation,
            floating=floating,
        )
        total.product_flops += flops.product
        total.other_flops += flops.other
        if flops.product or flops.other:
            total.flops_by_op[run.op] += flops.product + flops.other
        if not flops.known:
            missing.add(run.op)
        total.activation_bytes += sum(tensor.size_bytes for tensor in run.outputs.values())
        for place, (source, tensor) in enumerate(zip(sources, inputs, strict=True)):
            some = run.op in READS_SOME and place == 0
            size_bytes = min(tensor.size_bytes, output.size_bytes) if some else tensor.size_bytes
            weight = tensors.weight(source)
            if run.op == "ResourceGather" and place == 0:  # a variable by its handle
                weight, size_bytes = run.name, output.size_bytes
            if weight is None:
                total.activation_bytes += size_bytes
            else:
                read[weight] = max(read.get(weight, 0), size_bytes)
    total.weight_bytes = sum(read.values())
    total.not_counted = frozenset(missing)
    return total


class _Tensors:
    """What was written so far, and of what comes later its first writing.

    Two ops that run at the same time may be recorded in either order; in a loop a name is written
    again and again.
    """

    def __init__(self, runs: Sequence[OpRun]) -> None:
        self.by_name: dict[str, Tensor] = {}
        self._writers = {run.name: run for run in runs}
        for run in reversed(runs):
            self.wrote(run)

    def wrote(self, run: OpRun) -> None:
        for slot, tensor in run.outputs.items():
            self.by_name[f"{run.name}:{slot}"] = tensor

    def weight(self, source: str) -> str | None:
        """The op that holds the weight behind a tensor; None: it is no weight."""
        for _ in self._writers:  # at most as many steps as there are ops
            writer = self._writers.get(source.rpartition(":")[0])
            if writer is None or writer.op in _WEIGHTS:
                return writer.name if writer else None
            if writer.op not in _RENAMES or not writer.inputs:
                return None
            source = _slot(writer.inputs[0])
        return None


def _slot(source: str) -> str:
    return source if ":" in source else f"{source}:0"
