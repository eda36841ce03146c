"""What is measured, as opposed to how it is loaded.

    Subject ◄─┬─ Case        a point of a sweep: one load
              ├─ LimitCase   a search: as many loads as it takes
              ├─ MlperfCase  LoadGen's load
              └─ EventCase   a load while something happens

Servers and drivers are opened by a subject alone, see `jobs`.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from dualtower_benchmarks.load.text_lengths import TextLengths
from dualtower_benchmarks.scenario.keys import key_of

__all__ = ["ALL", "CPU", "GPU", "SUBJECT", "Subject", "device_words", "what"]

CPU, GPU = "CPU", "GPU"
ALL = "all"  # variants of LiteRT that the bundle ships
PRECISIONS = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Subject(ABC):
    """The fields that tables of a scenario share; each adds those of its load.

    A subclass with checks of its own ends them by `super().__post_init__()`.

    Args:
        driver: one of `drivers.opening.DRIVERS`.
        model: recommender, item_tower or user_tower.
        variant: what the driver has several of: litert's files ("dynamic_int8", …; "all" takes each
            that the bundle ships), index's backends ("numpy", "usearch", "faiss"), saved_model's
            signatures ("" or "from_tokens");
            for onnxruntime and sentence_transformers the run or BERT folder whose encoder it is,
            "" takes the bundle's sizes with drawn weights.
        precision: of the arithmetic of a SavedModel: float32, bfloat16 or float16.
        device: CPU or GPU.
        threads: of the runtime in process; None leaves it its own number.
        xla: compiled by XLA, in process.
        batch_rows: rows of a request.
        tokens: of a text: "catalogue" takes the catalogue's own, a number makes texts of exactly
            that many word pieces, "lognormal(median, sigma)" draws lengths, "file:PATH" takes the
            texts of a file; see `load.text_lengths`.
        engine: of the server that is started: auto, binary, docker or embedded.
        batching: of that server: "off", "bundle" for the bundle's own, or a path of a
            batching.config.
        flags: of that server, "--name=value" each, parted by blanks.
    """

    driver: str = "grpc"
    model: str = "item_tower"
    variant: str = ""
    precision: str = "float32"
    device: str = CPU
    threads: int | None = None
    xla: bool = False
    batch_rows: int = 1
    tokens: str = "catalogue"
    engine: str = "auto"
    batching: str = "bundle"
    flags: str = ""

    table: ClassVar[str]  # in which it stands in a scenario

    def __post_init__(self) -> None:
        if self.device not in (CPU, GPU):
            raise ValueError(f"device is {CPU} or {GPU}, got {self.device!r}")
        if self.batch_rows < 1:
            raise ValueError(f"batch_rows must be at least 1, got {self.batch_rows}")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads must be at least 1, got {self.threads}")
        if self.precision not in PRECISIONS:
            allowed = ", ".join(PRECISIONS)
            raise ValueError(f"precision is one of {allowed}, got {self.precision!r}")
        if self.variant == ALL and self.driver != "litert":
            raise ValueError(f'variant "{ALL}" is one of litert, got driver {self.driver!r}')
        TextLengths.read(self.tokens)

    @property
    @abstractmethod
    def load_s(self) -> float:
        """How long it is loaded, without the starts."""

    @property
    @abstractmethod
    def words(self) -> str:
        """For a plan, and a line of progress."""

    @property
    def subject(self) -> dict[str, Any]:
        """The fields of the subject alone."""
        return {name: getattr(self, name) for name in SUBJECT}

    @property
    def subject_key(self) -> str:
        """Equal for what is measured under several loads, in whichever tables."""
        return key_of(self.subject)

    @property
    def key(self) -> str:
        """Equal cases have equal keys in every run, and no key is one of another table's."""
        return key_of([self.table, self.as_json()])

    def as_json(self) -> dict[str, Any]:
        """Every field that can be given: the case's columns in a row of the results."""
        return {one.name: getattr(self, one.name) for one in dataclasses.fields(self) if one.init}


SUBJECT = tuple(field.name for field in dataclasses.fields(Subject))


def device_words(found: str, name: str | None) -> str:
    """Of a row's `device_found` and `device_name`; a server does not say what it has."""
    return name or found if found in (CPU, GPU) else "server"


def what(row: Mapping[str, Any]) -> str:
    """A subject in words, of a row or of `Subject.subject`: "litert item_tower int8 2 threads"."""
    parts = [row["driver"], row["model"], row["variant"]]
    if row["threads"]:
        parts.append(f"{row['threads']} thread{'s' if row['threads'] > 1 else ''}")
    if row["batching"] != "bundle":
        parts.append(f"batching {row['batching'].rpartition('/')[2]}")
    return " ".join(part for part in (*parts, row["flags"]) if part)
