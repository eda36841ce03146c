"""The public contract of the three models: names, dtypes and shapes of every signature.

Axes have names, so that the contract does not depend on one bundle's sizes: `batch`, `items`,
`tokens` and `any` are free at run time; `dim` and `k_max` are fixed by the bundle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["DESCRIBE_INPUT", "SIGNATURES", "Signature", "Tensor", "as_json", "static_shape"]

DESCRIBE_INPUT = "ask"


@dataclass(frozen=True)
class Tensor:
    """Dtype and named axes, e.g. float32 [batch, dim]."""

    dtype: str
    axes: tuple[str, ...]


@dataclass(frozen=True)
class Signature:
    """Inputs and outputs by name."""

    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]


_EMBEDDING = {"embedding": Tensor("float32", ("batch", "dim"))}
_RANKING = {
    "item_ids": Tensor("string", ("batch", "k_max")),
    "scores": Tensor("float32", ("batch", "k_max")),
}
_TOKENS = {
    "ids": Tensor("int32", ("batch", "tokens")),
    "mask": Tensor("int32", ("batch", "tokens")),
}
_HISTORY = {"history": Tensor("string", ("batch", "items"))}
_ITEM_IDS = {"item_ids": Tensor("string", ("batch", "items"))}
_EXCLUDE = {"exclude": Tensor("string", ("batch", "any"))}
# One input with a default and one row a batch: the server's batching refuses a signature without
# inputs and any tensor of rank 0.
_DESCRIBE = Signature(
    {DESCRIBE_INPUT: Tensor("string", ("batch",))},
    {
        "fingerprint": Tensor("string", ("batch",)),
        "bundle_version": Tensor("int64", ("batch",)),
        "dim": Tensor("int32", ("batch",)),
        "history_items": Tensor("int32", ("batch",)),
        "item_tokens": Tensor("int32", ("batch",)),
        "k_max": Tensor("int32", ("batch",)),
        "model": Tensor("string", ("batch",)),
    },
)

SIGNATURES: Mapping[str, Mapping[str, Signature]] = {
    "user_tower": {
        "serving_default": Signature(_HISTORY, _EMBEDDING),
        "from_item_ids": Signature(_ITEM_IDS, _EMBEDDING),
        "from_tokens": Signature(_TOKENS, _EMBEDDING),
        "describe": _DESCRIBE,
    },
    "item_tower": {
        "serving_default": Signature({"text": Tensor("string", ("batch",))}, _EMBEDDING),
        "from_tokens": Signature(_TOKENS, _EMBEDDING),
        "describe": _DESCRIBE,
    },
    "recommender": {
        "serving_default": Signature({**_HISTORY, **_EXCLUDE}, _RANKING),
        "from_item_ids": Signature({**_ITEM_IDS, **_EXCLUDE}, _RANKING),
        "describe": _DESCRIBE,
    },
}


def as_json() -> dict[str, dict[str, dict[str, dict[str, str]]]]:
    """The contract as plain text, e.g. `"float32 [batch, dim]"`, for the manifest."""
    return {
        model: {
            name: {"inputs": _texts(signature.inputs), "outputs": _texts(signature.outputs)}
            for name, signature in signatures.items()
        }
        for model, signatures in SIGNATURES.items()
    }


def static_shape(tensor: Tensor, *, dim: int, k_max: int) -> list[int | None]:
    """The shape that a SavedModel records: the sizes that a bundle fixes, None where it is free."""
    fixed = {"dim": dim, "k_max": k_max}
    return [fixed.get(axis) for axis in tensor.axes]


def _texts(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    return {name: f"{t.dtype} [{', '.join(t.axes)}]" for name, t in tensors.items()}
