"""The encoder that a bundle's item tower has inside, for other runtimes to be measured with.

Its weights lie in the bundle's graphs, where another runtime cannot read them. So they come from
the run or BERT folder that a case names; without one they are drawn in the bundle's sizes: what is
computed is as much, and no answer is compared with the bundle's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dualtower.bundle import Bundle
from dualtower.errors import BundleError, UsageError
from dualtower_benchmarks.drivers.driver import NotHere
from dualtower_benchmarks.load.workload import Workload
from dualtower_trainer.bert_config import BertConfig
from dualtower_trainer.bert_weights import canonical_tensors, random_tensors
from dualtower_trainer.encoder import Encoder

__all__ = ["ReferenceEncoder", "only_item_tower", "read_encoder", "texts_of"]


@dataclass(frozen=True)
class ReferenceEncoder:
    """Sizes and weights.

    Args:
        tensors: float32 under Hugging Face's names.
        weights: where they come from: "drawn", or a path.
    """

    config: BertConfig
    tensors: Mapping[str, np.ndarray]
    weights: str


def read_encoder(bundle: Bundle, source: str) -> ReferenceEncoder:
    """The encoder of a run or BERT folder, or one in the sizes of the bundle's.

    Args:
        source: its path; "" draws the weights.

    Raises:
        BundleError: the bundle does not say the sizes of its encoder, or they are others.
        UsageError: the path is neither.
    """
    sizes = bundle.manifest["space"].get("encoder")
    if not sizes:
        raise BundleError(f"{bundle.path} does not say the sizes of its encoder; export it again")
    config = BertConfig(**sizes)
    if not source:
        drawn = random_tensors(config, seed=0)
        return ReferenceEncoder(config, canonical_tensors(config, drawn), "drawn")
    encoder = _read(Path(source), bundle.manifest["space"]["item_tokens"])
    if encoder.config != config:
        raise BundleError(
            f"the encoder of {source} has other sizes than the bundle's: {encoder.config}, "
            f"expected {config}"
        )
    return ReferenceEncoder(config, encoder.tensors, source)


def _read(path: Path, tokens: int) -> Encoder:
    if (path / "config.json").is_file():
        return Encoder.load(path, tokens)
    from dualtower_trainer.checkpoint import load_trained

    return load_trained(path).encoder()


def texts_of(workload: Workload, batch_rows: int) -> list[list[str]]:
    """The texts of each request."""
    inputs = workload.inputs("item_tower", batch_rows, history_width=1)
    return [named["text"].tolist() for named in inputs]


def only_item_tower(driver: str, job: Mapping[str, Any]) -> None:
    """Refuses what a reference does not measure."""
    if job.get("model", "item_tower") != "item_tower":
        raise UsageError(f"{driver} has the item_tower's encoder alone, got {job['model']!r}")
    if job.get("precision", "float32") != "float32" or job.get("xla"):
        raise NotHere(f"{driver} is measured in float32 and without XLA")
