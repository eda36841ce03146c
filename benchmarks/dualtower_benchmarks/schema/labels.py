"""What was measured, in words: driver and model, and whatever else differs between the cases."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from dualtower_benchmarks.numerals import number
from dualtower_benchmarks.scenario.jobs import SERVED

__all__ = ["DRIVER_NAMES", "Fields", "Labels", "asked", "load_words"]

DRIVER_NAMES = {
    "grpc": "gRPC",
    "rest": "REST",
    "clients": "clients",
    "saved_model": "SavedModel",
    "litert": "LiteRT",
    "onnxruntime": "ONNX Runtime",
    "sentence_transformers": "sentence-transformers",
    "index": "index",
}
# of a subject beside driver, model and batch_rows, in the order of the words
_OF_SERVER = frozenset({"engine", "batching", "flags"})
_VARYING = (
    "variant", "precision", "xla", "threads", "tokens", "engine", "batching", "flags", "device",
)  # fmt: skip


class Fields(Protocol):
    """A row, a case, or what stands for several rows of one."""

    def __getitem__(self, name: str, /) -> Any: ...


class Labels:
    """Names of subjects that are short, and differ where the subjects do.

    Args:
        rows: all rows and absent cases among which the names must differ.
    """

    def __init__(self, rows: Iterable[Fields]) -> None:
        self._seen: dict[str, dict[str, set[Any]]] = {}
        for row in rows:
            of_driver = self._seen.setdefault(row["driver"], {name: set() for name in _VARYING})
            for name in _VARYING:
                of_driver[name].add(row[name])

    def __call__(self, row: Fields, *, model: bool = True) -> str:
        """Such as "LiteRT item_tower dynamic_int8 4 threads".

        Args:
            model: False leaves its name out, where a heading has it.
        """
        seen = self._seen[row["driver"]]
        parts = [DRIVER_NAMES.get(row["driver"], row["driver"])]
        parts += [row["model"]] if model else []
        names = [name for name in _VARYING if len(seen[name]) > 1]
        if row["driver"] not in SERVED:
            names = [name for name in names if name not in _OF_SERVER]
        parts += [word for name in names if (word := _word(name, row))]
        if row["variant"] and len(seen["variant"]) == 1:
            parts.append(row["variant"])
        return " ".join(parts)


def load_words(row: Fields, offered_qps: float | None) -> str:
    """The load: "Poisson 120/s", "closed, 4 clients"."""
    if row["loop"] == "closed":
        clients = row["concurrency"]
        return f"closed, {clients} client{'s' if clients > 1 else ''}"
    arrivals = {"poisson": "Poisson", "constant": "constant", "trace": "trace"}[row["arrivals"]]
    return f"open, {arrivals} {asked(offered_qps)}/s"


def asked(value: float | None) -> str:
    """A number that was asked for: 20 rather than 20.0."""
    return f"{value:,g}" if value is not None and value == round(value) else number(value)


def _word(name: str, row: Fields) -> str:
    value = row[name]
    if name == "threads":
        return "" if value is None else f"{value} thread{'s' if value > 1 else ''}"
    if name == "xla":
        return "XLA" if value else ""
    if name == "tokens":
        return f"{value} tokens" if value.isdigit() else str(value)
    if name == "batching":
        return {"off": "no batching", "bundle": ""}.get(value, value.rpartition("/")[2])
    return str(value)
