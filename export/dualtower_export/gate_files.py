"""Gates that read what was written: the signatures in the file, and the ops of the graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dualtower_export import contract
from dualtower_export.gate import Gate
from dualtower_export.op_list import TARGET, fitting_servers, foreign_attributes, foreign_ops
from dualtower_export.saved_model import Fact, read_graph_ops, read_signatures

__all__ = ["check_ops", "check_signatures"]


def check_signatures(model: str, folder: Path, *, dim: int, k_max: int) -> Gate:
    """Names, dtypes and shapes in a version folder against the contract."""
    found = read_signatures(folder)
    wanted = {
        name: {
            "inputs": _facts(signature.inputs, dim, k_max),
            "outputs": _facts(signature.outputs, dim, k_max),
            "defaults": {contract.DESCRIBE_INPUT: ("string", [1])} if name == "describe" else {},
        }
        for name, signature in contract.SIGNATURES[model].items()
    }
    wrong = list(_differences(wanted, found))
    count = sum(len(f["inputs"]) + len(f["outputs"]) for f in found.values())
    detail = "; ".join(wrong) or f"{len(found)} signatures with {count} tensors as in the contract"
    return Gate(f"signatures/{model}", not wrong, float(len(wrong)), 0.0, detail)


def check_ops(model: str, folder: Path, target: str = TARGET) -> Gate:
    """The ops of a version folder, and their attributes, against those of a stock server."""
    attributes = read_graph_ops(folder)
    foreign = [*foreign_ops(attributes, target), *foreign_attributes(attributes, target)]
    fitting = ", ".join(fitting_servers(attributes))
    detail = f"{len(attributes)} kinds of op, with every attribute in stock servers {fitting}"
    if foreign:
        detail = f"a stock TensorFlow Serving {target} may lack {', '.join(foreign)}"
    return Gate(f"ops/{model}", not foreign, float(len(foreign)), 0.0, detail)


def _facts(tensors: Mapping[str, contract.Tensor], dim: int, k_max: int) -> dict[str, Fact]:
    return {
        name: (tensor.dtype, contract.static_shape(tensor, dim=dim, k_max=k_max))
        for name, tensor in tensors.items()
    }


def _differences(
    wanted: Mapping[str, Any], found: Mapping[str, Any], where: str = ""
) -> Iterator[str]:
    for name in sorted({*wanted, *found}):
        place = f"{where}{name}"
        if name not in found:
            yield f"{place} is missing"
        elif name not in wanted:
            yield f"{place} is not in the contract"
        elif isinstance(wanted[name], Mapping):
            yield from _differences(wanted[name], found[name], f"{place}.")
        elif wanted[name] != found[name]:
            yield f"{place} is {found[name]}, the contract says {wanted[name]}"
