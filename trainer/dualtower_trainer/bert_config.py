"""The shape of a BERT, as in the `config.json` of a Hugging Face folder. No TensorFlow."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualtower.errors import UsageError

__all__ = ["ACTIVATIONS", "BertConfig"]

# Hugging Face name -> is it the tanh approximation of GELU
ACTIVATIONS = {"gelu": False, "gelu_new": True, "gelu_pytorch_tanh": True}

# architecture switches that this encoder has no layer for: key -> the only value it can read
_FIXED = {
    "model_type": "bert",
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
}


@dataclass(frozen=True)
class BertConfig:
    """Sizes of a BERT encoder, under Hugging Face's names.

    Example:
        >>> config = BertConfig(vocab_size=1000, hidden_size=128, num_hidden_layers=2,
        ...                     num_attention_heads=4, intermediate_size=512)
        >>> config.head_size
        32
    """

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    hidden_act: str = "gelu"

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type == "int" and (type(value) is not int or value < 1):
                raise UsageError(f"{field.name} must be a whole number from 1, got {value!r}")
        if self.hidden_size % self.num_attention_heads:
            raise UsageError(
                f"hidden_size {self.hidden_size} must be a multiple of num_attention_heads "
                f"{self.num_attention_heads}"
            )
        if not isinstance(self.layer_norm_eps, (int, float)) or not 0 < self.layer_norm_eps < 1:
            raise UsageError(f"layer_norm_eps must lie in (0, 1), got {self.layer_norm_eps!r}")
        if self.hidden_act not in ACTIVATIONS:
            raise UsageError(
                f"hidden_act {self.hidden_act!r} is not supported; known: {', '.join(ACTIVATIONS)}"
            )

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @classmethod
    def from_json(cls, path: Path) -> BertConfig:
        """Reads a `config.json`; keys that do not shape the encoder are ignored.

        Raises:
            UsageError: the file is missing, no JSON, not of a BERT, or lacks a size.
        """
        values = _read_object(Path(path))
        for key, only in _FIXED.items():
            if values.get(key, only) != only:
                raise UsageError(
                    f"{path}: {key} is {values[key]!r}, only {only!r} can be read; "
                    "choose a BERT folder (for example sentence-transformers/all-MiniLM-L6-v2)"
                )
        fields = dataclasses.fields(cls)
        required = [f.name for f in fields if f.default is dataclasses.MISSING]
        missing = [name for name in required if name not in values]
        if missing:
            raise UsageError(f"{path} lacks {', '.join(missing)}; it is no config of a BERT")
        try:
            return cls(**{f.name: values[f.name] for f in fields if f.name in values})
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from error

    def to_json(self) -> str:
        """The text of a `config.json` that Hugging Face and `from_json` read back."""
        values = {**_FIXED, "architectures": ["BertModel"], **dataclasses.asdict(self)}
        return json.dumps(values, indent=2, sort_keys=True) + "\n"


def _read_object(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(values, dict):
        raise UsageError(f"{path} must hold a JSON object, got {type(values).__name__}")
    return values
