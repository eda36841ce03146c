"""What the clients return: frozen values. Arrays may be read-only views of what was received."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

__all__ = [
    "Classification",
    "Classifications",
    "Description",
    "Embeddings",
    "ModelMetadata",
    "Prediction",
    "Recommendation",
    "Regressions",
    "Signature",
    "TensorSpec",
    "VersionStatus",
]


@dataclass(frozen=True)
class Prediction:
    """The answer to one Predict call of any model.

    Attributes:
        outputs: arrays by alias.
        model, version, signature: who answered, by the server's own words.
        elapsed_ms: from the call to its answer, pauses between attempts included.
        address: that answered, of a client with several.
        attempts: how often the request was sent, hedges included.
        failures: how many of these attempts failed; the server may be another one since.
        instance: the run of the server that answered, where it names one; the stock one does not.
    """

    outputs: Mapping[str, NDArray[Any]]
    model: str
    version: int
    signature: str
    elapsed_ms: float
    address: str
    attempts: int
    failures: int
    instance: str = ""


@dataclass(frozen=True)
class Classification:
    """The classes of one example, in the model's order; "" where the model names none."""

    labels: tuple[str, ...]
    scores: NDArray[Any]  # [classes] float32


@dataclass(frozen=True)
class Classifications:
    """The answer to a Classify call: one entry for each example. The rest is as in Prediction."""

    examples: tuple[Classification, ...]
    model: str
    version: int
    signature: str
    elapsed_ms: float
    address: str
    attempts: int
    failures: int


@dataclass(frozen=True)
class Regressions:
    """The answer to a Regress call: one value for each example. The rest is as in Prediction."""

    values: NDArray[Any]  # [examples] float32
    model: str
    version: int
    signature: str
    elapsed_ms: float
    address: str
    attempts: int
    failures: int


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a signature: numpy's dtype name, and a shape; -1 is not fixed."""

    dtype: str
    shape: tuple[int, ...] | None  # None: the rank is not fixed

    @property
    def words(self) -> str:
        """For people: "float32 [?, 2]"."""
        if self.shape is None:
            return f"{self.dtype}, any shape"
        sizes = ("?" if size == -1 else str(size) for size in self.shape)
        return f"{self.dtype} [{', '.join(sizes)}]"


@dataclass(frozen=True)
class Signature:
    """One callable of a model, by the aliases that requests use."""

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    method_name: str
    defaults: Mapping[str, NDArray[Any]]  # inputs that a request may leave out


@dataclass(frozen=True)
class ModelMetadata:
    """The signatures of a loaded version."""

    model: str
    version: int
    signatures: Mapping[str, Signature]


@dataclass(frozen=True)
class VersionStatus:
    """Where one version of a model stands.

    Attributes:
        version: the integer version.
        state: START, LOADING, AVAILABLE, UNLOADING, END or UNKNOWN.
        error_code: "OK", or why the version failed ("NOT_FOUND", ...).
        error_message: the server's words.
    """

    version: int
    state: str
    error_code: str
    error_message: str


@dataclass(frozen=True)
class Description:
    """What a model of a bundle says about itself through its `describe` signature."""

    model: str
    fingerprint: str
    version: int
    bundle_version: int
    dim: int
    history_items: int
    item_tokens: int
    k_max: int


@dataclass(frozen=True)
class Recommendation:
    """The best items for one history, best first. Fewer than asked where no more are allowed.

    `elapsed_ms`, `address` and `attempts` are those of its call, as in Prediction.
    """

    item_ids: tuple[str, ...]
    scores: NDArray[Any]  # [items] float32, not rising
    version: int
    fingerprint: str
    elapsed_ms: float
    address: str
    attempts: int


@dataclass(frozen=True)
class Embeddings:
    """Vectors of unit length, a row for each text or history. The rest is as in Recommendation."""

    vectors: NDArray[Any]  # [rows, dim] float32
    version: int
    fingerprint: str
    elapsed_ms: float
    address: str
    attempts: int
