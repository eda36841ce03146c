"""The tensors of a BERT under their Hugging Face names: which there must be, and of which shape.

Checkpoints differ in three ways that carry no meaning: a `bert.` prefix when the file was saved
with a task head, `gamma`/`beta` for a LayerNorm in files from before 2019, and half precision. All
are read into one canonical form: no prefix, `weight`/`bias`, float32, contiguous.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dualtower.errors import UsageError
from dualtower_trainer.bert_config import BertConfig

__all__ = ["canonical_tensors", "expected_shapes", "random_tensors"]

_PREFIX = "bert."
# parts that a checkpoint may carry and an encoder with mean pooling does not use
_UNUSED = ("pooler.", "cls.", "embeddings.position_ids")
_SHOWN = 4


def expected_shapes(config: BertConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of the encoder; matrices are [out, in] as in PyTorch."""
    hidden, inner = config.hidden_size, config.intermediate_size
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (config.vocab_size, hidden),
        "embeddings.position_embeddings.weight": (config.max_position_embeddings, hidden),
        "embeddings.token_type_embeddings.weight": (config.type_vocab_size, hidden),
    }
    vectors: dict[str, int] = {"embeddings.LayerNorm": hidden}
    for index in range(config.num_hidden_layers):
        layer = f"encoder.layer.{index}"
        matrices = {
            f"{layer}.attention.self.query": (hidden, hidden),
            f"{layer}.attention.self.key": (hidden, hidden),
            f"{layer}.attention.self.value": (hidden, hidden),
            f"{layer}.attention.output.dense": (hidden, hidden),
            f"{layer}.intermediate.dense": (inner, hidden),
            f"{layer}.output.dense": (hidden, inner),
        }
        for name, (out, into) in matrices.items():
            shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (out, into), (out,)
        vectors[f"{layer}.attention.output.LayerNorm"] = hidden
        vectors[f"{layer}.output.LayerNorm"] = hidden
    for name, size in vectors.items():
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (size,)
    return shapes


def canonical_tensors(
    config: BertConfig, tensors: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The encoder's tensors in canonical form, exactly those of `expected_shapes`.

    Raises:
        UsageError: a tensor is missing, unknown, or of another shape.
    """
    prefixed = any(name.startswith(_PREFIX) for name in tensors)
    found: dict[str, np.ndarray] = {}
    for name, value in tensors.items():
        if prefixed and not name.startswith(_PREFIX):
            continue  # a task head beside the encoder
        name = name.removeprefix(_PREFIX)
        if name.startswith(_UNUSED):
            continue
        name = name.replace("LayerNorm.gamma", "LayerNorm.weight")
        found[name.replace("LayerNorm.beta", "LayerNorm.bias")] = value
    shapes = expected_shapes(config)
    _refuse("lacks", [name for name in shapes if name not in found])
    _refuse("has unknown", [name for name in found if name not in shapes])
    wrong = [
        f"{name} {list(found[name].shape)} instead of {list(shape)}"
        for name, shape in shapes.items()
        if found[name].shape != shape
    ]
    _refuse("has mis-shaped", wrong)
    return {name: np.ascontiguousarray(found[name], dtype=np.float32) for name in sorted(shapes)}


def random_tensors(config: BertConfig, *, seed: int, stddev: float = 0.02) -> dict[str, np.ndarray]:
    """Fresh weights as BERT starts with: normal matrices, zero biases, LayerNorm at one."""
    generator = np.random.default_rng(seed)
    tensors = {}
    for name, shape in sorted(expected_shapes(config).items()):
        if name.endswith(".bias"):
            tensors[name] = np.zeros(shape, np.float32)
        elif "LayerNorm" in name:
            tensors[name] = np.ones(shape, np.float32)
        else:
            tensors[name] = generator.normal(0.0, stddev, shape).astype(np.float32)
    return tensors


def _refuse(what: str, names: list[str]) -> None:
    if not names:
        return
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    raise UsageError(
        f"the checkpoint {what} tensors: {', '.join(names[:_SHOWN])}{rest}; "
        "its weights and its config.json do not belong together, or it is no BERT encoder"
    )
