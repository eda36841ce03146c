"""A file for a phone, run by LiteRT on this machine: one row a call.

One call is what an app does for one answer once the text is tokenised: set the inputs, invoke, read
the output. The item tower gets word pieces of texts, the user tower the catalogue's vectors of a
history, the recommender the catalogue's rows of one, each padded as the file wants it.

A job: `driver` "litert", `bundle`, `model`, `variant` (such as "dynamic_int8"), `batch_rows` 1, and
optionally `threads` (of each interpreter; 1), `tokens`, `seed`, `history_texts`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dualtower.bundle import Bundle
from dualtower.errors import BundleError, UsageError
from dualtower_benchmarks.drivers.driver import NotHere
from dualtower_benchmarks.load.samples import OK
from dualtower_benchmarks.load.workload import DISTINCT_REQUESTS, Workload

__all__ = ["LiteRtDriver", "LiteRtTarget", "edge_entries", "edge_feeds", "open"]

Inputs = Mapping[str, npt.NDArray[Any]]

_OTHERS = 8  # a history in another order has the same answer, so one other input is no proof
# the output that is read, by model
_OUTPUTS = {"item_tower": "embedding", "user_tower": "embedding", "recommender": "scores"}


class LiteRtTarget:
    """One interpreter with inputs to feed by name. One thread may use it at a time.

    Args:
        path: a `.tflite` file with one signature.
        feeds: arrays by input name, without the batch dimension.
        output: which of the outputs is read.

    Raises:
        BundleError: LiteRT cannot read the file, or its inputs are others.
    """

    def __init__(
        self, path: Path, feeds: Sequence[Inputs], *, threads: int, output: str = "embedding"
    ) -> None:
        from ai_edge_litert.interpreter import Interpreter

        try:
            self._interpreter = Interpreter(model_path=str(path), num_threads=threads)
            inputs, outputs = _signature(self._interpreter)
        except (ValueError, RuntimeError) as error:
            raise BundleError(f"LiteRT cannot read {path}: {error}") from error
        if set(inputs) != set(feeds[0]) or output not in outputs:
            raise BundleError(
                f"{path} takes {sorted(inputs)} and gives {sorted(outputs)}, "
                f"expected {sorted(feeds[0])} and {output}; export the bundle again"
            )
        self._output = outputs[output]["index"]
        self._feeds = [
            [(facts["index"], _padded(feed[key], facts, path)) for key, facts in inputs.items()]
            for feed in feeds
        ]
        self._interpreter.allocate_tensors()

    def embed(self, index: int) -> npt.NDArray[Any]:
        """The output for feed `index`; they repeat from the start."""
        for tensor, value in self._feeds[index % len(self._feeds)]:
            self._interpreter.set_tensor(tensor, value)
        self._interpreter.invoke()
        found: npt.NDArray[Any] = self._interpreter.get_tensor(self._output)
        return found

    def call(self, index: int) -> str:
        self.embed(index)
        return OK


class LiteRtDriver:
    """A file; every client is an interpreter of its own, as LiteRT shares none."""

    def __init__(
        self,
        path: Path,
        model: str,
        feeds: Sequence[Inputs],
        *,
        threads: int,
        facts: Mapping[str, Any],
    ) -> None:
        self._path, self._model, self._feeds = path, model, feeds
        self._threads, self._facts = threads, facts
        self._first: LiteRtTarget | None = self.connect()

    def connect(self) -> LiteRtTarget:
        return LiteRtTarget(
            self._path, self._feeds, threads=self._threads, output=_OUTPUTS[self._model]
        )

    def check(self) -> None:
        """Holds that values are finite, that an input decides them, and that they repeat."""
        assert self._first is not None
        values = self._first.embed(0).copy()
        others = [n for n in range(1, len(self._feeds)) if self._differs(n)][:_OTHERS]
        wrong = ""
        if values.ndim != 2 or len(values) != 1 or not np.isfinite(values).all():
            wrong = f"values of shape {list(values.shape)}, or such that are not finite"
        elif others and all(np.array_equal(self._first.embed(n), values) for n in others):
            wrong = "the same values to different inputs"
        elif not np.array_equal(self._first.embed(0), values):
            wrong = "other values when it is asked again"
        if wrong:
            raise BundleError(f"{self._path} answers with {wrong}; export the bundle again")

    def facts(self) -> dict[str, Any]:
        from importlib import metadata

        return {
            "device": "CPU",
            "litert_version": metadata.version("ai-edge-litert"),
            "threads": self._threads,
            "size_bytes": self._path.stat().st_size,
            **self._facts,
        }

    def close(self) -> None:
        self._first = None

    def _differs(self, number: int) -> bool:
        first, other = self._feeds[0], self._feeds[number]
        return any(not np.array_equal(first[name], other[name]) for name in first)


def open(job: Mapping[str, Any]) -> LiteRtDriver:
    """Reads the file of a job's variant.

    Raises:
        UsageError: more rows than one.
        NotHere: LiteRT is not installed, or the bundle has no such file.
    """
    if job["batch_rows"] != 1:
        raise UsageError(
            f"the files for a phone take one row a call, got batch_rows = {job['batch_rows']}"
        )
    try:
        import ai_edge_litert.interpreter  # noqa: F401
    except ModuleNotFoundError as error:
        raise NotHere("LiteRT is not installed: pip install 'dualtower[edge]'") from error
    bundle, model = Bundle.open(Path(job["bundle"])), job["model"]
    entry = _entry(bundle, model, job.get("variant", ""))
    workload = Workload.of_job(bundle, job)
    feeds = edge_feeds(entry | {"tower": model}, bundle, workload)
    facts: dict[str, Any] = {"file": entry["file"], "item_tokens": entry.get("item_tokens")}
    if model == "item_tower":
        texts = workload.item_texts(DISTINCT_REQUESTS)
        facts |= workload.facts([{"text": texts}])
    return LiteRtDriver(
        bundle.path / entry["file"], model, feeds, threads=job.get("threads") or 1, facts=facts
    )


def edge_feeds(
    entry: Mapping[str, Any], bundle: Bundle, workload: Workload
) -> list[dict[str, npt.NDArray[Any]]]:
    """Inputs of DISTINCT_REQUESTS calls, each as long as its content.

    Args:
        entry: of the manifest's `variants`.
    """
    space = bundle.manifest["space"]
    if entry["tower"] != "item_tower":
        rows = workload.history_rows(DISTINCT_REQUESTS)[:, : space["history_items"]]
        present = np.ones(rows.shape[1], np.float32)
        if entry["tower"] == "recommender":
            places = workload.catalogue_rows
            return [{"history": places[row], "mask": present} for row in rows]
        return [{"items": items, "mask": present} for items in workload.vectors[rows]]
    from dualtower.edge.tokenizer import Tokenizer

    tokenizer = Tokenizer.from_vocab(
        bundle.edge_path / "vocab.txt",
        lowercase=space["lowercase"],
        max_tokens=entry.get("item_tokens") or space["item_tokens"],
    )
    ids, mask = tokenizer(workload.item_texts(DISTINCT_REQUESTS).tolist())
    return [{"ids": row, "mask": ones} for row, ones in zip(ids, mask, strict=True)]


def edge_entries(bundle: Bundle, model: str) -> list[dict[str, Any]]:
    """The manifest's words on all files of a model."""
    if model == "recommender":
        forms = bundle.manifest.get("recommenders", [])
        return [entry for entry in forms if entry["form"] == "recommender"]
    return [entry for entry in bundle.manifest.get("variants", []) if entry["tower"] == model]


def _entry(bundle: Bundle, model: str, variant: str) -> dict[str, Any]:
    """The manifest's words on a file.

    Raises:
        UsageError: no such model.
        NotHere: the bundle has no such variant, or one of no fixed length.
    """
    if model not in _OUTPUTS:
        raise UsageError(f"litert measures {', '.join(_OUTPUTS)}, got {model!r}")
    named = {entry["variant"]: entry for entry in edge_entries(bundle, model)}
    if variant not in named:
        raise NotHere(
            f"the bundle has no {model} of variant {variant!r}; it has {', '.join(named) or 'none'}"
        )
    if named[variant].get("item_tokens") == 0:
        raise NotHere(f"{variant} takes any length, so it has no shape to be filled")
    return dict(named[variant])


def _signature(interpreter: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Details of the inputs and outputs by name, of the file's only signature."""
    (name,) = interpreter.get_signature_list()
    # a runner that lives on forbids the interpreter to allocate and to invoke
    runner = interpreter.get_signature_runner(name)
    return runner.get_input_details(), runner.get_output_details()


def _padded(value: npt.NDArray[Any], facts: Mapping[str, Any], path: Path) -> npt.NDArray[Any]:
    """`value` with a batch of 1, filled up with zeros to the shape that the file fixes."""
    room = facts["shape"][1:]
    if len(room) != value.ndim or (np.array(value.shape) > room).any():
        raise BundleError(
            f"{path} has room for {facts['name']} of shape {list(room)}, got {list(value.shape)}; "
            "export the bundle again"
        )
    padded = np.zeros(room, dtype=facts["dtype"])
    padded[tuple(slice(0, have) for have in value.shape)] = value
    return padded[None]
