"""The files for a phone, run by LiteRT on this machine: batch 1, by variant and number of threads.

One call is what an app does for one embedding once the text is tokenised: set the inputs, invoke,
read the output. The item tower gets tokens of catalogue texts, the user tower the catalogue vectors
of a history, padded as the file wants it.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dualtower.bundle import Bundle
from dualtower.errors import BundleError
from dualtower.progress import bar
from dualtower_benchmarks.closed_loop import run_closed_loop
from dualtower_benchmarks.points import Points, Subject
from dualtower_benchmarks.samples import OK
from dualtower_benchmarks.workload import DISTINCT_REQUESTS, Workload

__all__ = ["LiteRtTarget", "measure_edge"]

Inputs = Mapping[str, npt.NDArray[Any]]


class LiteRtTarget:
    """One interpreter with inputs to feed by name. One thread may use it at a time.

    Args:
        path: a `.tflite` file with one signature.
        feeds: arrays by input name, without the batch dimension.

    Raises:
        BundleError: LiteRT cannot read the file, or its inputs are others.
    """

    def __init__(self, path: Path, feeds: Sequence[Inputs], *, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        try:
            self._interpreter = Interpreter(model_path=str(path), num_threads=threads)
            inputs, outputs = _signature(self._interpreter)
        except (ValueError, RuntimeError) as error:
            raise BundleError(f"LiteRT cannot read {path}: {error}") from error
        if set(inputs) != set(feeds[0]) or len(outputs) != 1:
            raise BundleError(
                f"{path} takes {sorted(inputs)} and gives {sorted(outputs)}, "
                f"expected {sorted(feeds[0])} and one embedding; export the bundle again"
            )
        self._output = next(iter(outputs.values()))["index"]
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
        output: npt.NDArray[Any] = self._interpreter.get_tensor(self._output)
        return output

    def call(self, index: int) -> str:
        self.embed(index)
        return OK


def measure_edge(bundle: Bundle, workload: Workload, points: Points) -> list[dict[str, Any]]:
    """Adds a point per variant that ships and number of threads.

    A file that takes any length is left out: it has no shape to be filled, and the export timed it.

    Returns:
        per file its tower, variant, size and size after gzip.
    """
    files = []
    variants = [entry for entry in bundle.manifest.get("variants", []) if _is_asked(entry)]
    with bar("edge files", len(variants) * len(points.config.edge_threads)) as progress:
        for entry in variants:
            path = bundle.path / entry["file"]
            feeds = _feeds(entry, bundle, workload)
            for threads in points.config.edge_threads:
                target = LiteRtTarget(path, feeds, threads=threads)
                if not np.isfinite(target.embed(0)).all():
                    raise BundleError(f"{path} answers with values that are not finite")
                samples = run_closed_loop(
                    [target], duration_s=points.config.edge_s, warmup_s=points.config.warmup_s
                )
                subject = Subject(
                    part="edge",
                    model=entry["tower"],
                    signature="from_tokens" if entry["tower"] == "item_tower" else "from_vectors",
                    device="CPU",
                    batch_rows=1,
                    variant=entry["variant"],
                    threads=threads,
                )
                points.closed(subject, samples, clients=1)
                progress.advance(note=f"{entry['tower']} {entry['variant']}")
            content = path.read_bytes()
            files.append(
                {
                    "model": entry["tower"],
                    "variant": entry["variant"],
                    "size_bytes": len(content),
                    "gzip_bytes": entry.get("gzip_bytes") or len(gzip.compress(content, 6)),
                }
            )
    return files


def _signature(interpreter: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Details of the inputs and outputs by name, of the file's only signature."""
    (name,) = interpreter.get_signature_list()
    # a runner that lives on forbids the interpreter to allocate and to invoke
    runner = interpreter.get_signature_runner(name)
    return runner.get_input_details(), runner.get_output_details()


def _is_asked(entry: Mapping[str, Any]) -> bool:
    return entry.get("verdict", "ship") == "ship" and entry.get("item_tokens") != 0


def _feeds(
    entry: Mapping[str, Any], bundle: Bundle, workload: Workload
) -> list[dict[str, npt.NDArray[Any]]]:
    """Inputs of DISTINCT_REQUESTS calls, each as long as its content."""
    space = bundle.manifest["space"]
    if entry["tower"] == "user_tower":
        rows = workload.history_rows(DISTINCT_REQUESTS)[:, : space["history_items"]]
        present = np.ones(rows.shape[1], np.float32)
        return [{"items": items, "mask": present} for items in workload.vectors[rows]]
    from dualtower.edge.tokenizer import Tokenizer

    tokenizer = Tokenizer.from_vocab(
        bundle.edge_path / "vocab.txt",
        lowercase=space["lowercase"],
        max_tokens=entry.get("item_tokens") or space["item_tokens"],
    )
    texts = workload.texts[workload.item_rows(DISTINCT_REQUESTS)].tolist()
    ids, mask = tokenizer(texts)
    return [{"ids": row, "mask": ones} for row, ones in zip(ids, mask, strict=True)]


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
