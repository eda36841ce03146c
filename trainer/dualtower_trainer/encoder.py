"""A pretrained BERT with its tokeniser: a folder on disk, texts in, vectors out.

The folder is Hugging Face's: `config.json`, `vocab.txt`, `model.safetensors`, and optionally
`tokenizer_config.json`, of which only `do_lower_case` is read. TensorFlow is imported when the
model is first needed, so that reading a configuration stays cheap.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors
import safetensors.numpy

from dualtower.edge.tokenizer import Tokenizer
from dualtower.errors import UsageError
from dualtower.files import atomic_folder
from dualtower.progress import bar
from dualtower_trainer.bert_config import BertConfig
from dualtower_trainer.bert_weights import canonical_tensors

if TYPE_CHECKING:
    import tf_keras

__all__ = ["FILES", "OPTIONAL_FILES", "Encoder", "EncoderConfig", "weights_sha256"]

_TOKENIZER_CONFIG = "tokenizer_config.json"
FILES = ("config.json", "model.safetensors", "vocab.txt")
OPTIONAL_FILES = (_TOKENIZER_CONFIG,)


@dataclass(frozen=True)
class EncoderConfig:
    """Section [encoder] of a configuration.

    `name` is "minilm" (fetched), "tiny" (trained on the catalogue), the path of a BERT folder of
    Hugging Face's or of TF Hub's kind, or `hub:` and the address of a model of TF Hub; a text is
    cut after `max_tokens` word pieces, [CLS] and [SEP] included.
    """

    name: str = "minilm"
    max_tokens: int = 32

    def __post_init__(self) -> None:
        if not self.name.removeprefix("hub:").strip():
            raise ValueError(
                'name must be "minilm", "tiny", the path of a BERT folder, or hub:HANDLE; '
                f'got "{self.name}"'
            )
        if not 3 <= self.max_tokens <= 512:
            raise ValueError(f"max_tokens must lie in 3..512, got {self.max_tokens}")


class Encoder:
    """A frozen BERT: `encode` gives the masked mean of its last hidden states.

    Example:
        >>> encoder = Encoder.load(fetch("minilm"), max_tokens=32)   # doctest: +SKIP
        >>> encoder.encode(["green tea", "black tea"]).shape         # doctest: +SKIP
        (2, 384)
    """

    def __init__(
        self,
        *,
        folder: Path,
        config: BertConfig,
        tensors: Mapping[str, np.ndarray],
        tokenizer: Tokenizer,
    ) -> None:
        self.folder, self.config, self.tokenizer = folder, config, tokenizer
        self._tensors = canonical_tensors(config, tensors)
        _check_sizes(folder, config, tokenizer)

    @classmethod
    def load(cls, folder: Path | str, max_tokens: int = 32) -> Encoder:
        """Reads a Hugging Face BERT folder.

        Raises:
            UsageError: a file is missing, broken, or does not fit the others; or no BERT.
        """
        folder = Path(folder)
        _require_files(folder)
        config = BertConfig.from_json(folder / "config.json")
        tokenizer = Tokenizer.from_vocab(
            folder / "vocab.txt", lowercase=_lowercase(folder), max_tokens=max_tokens
        )
        tensors = _read_tensors(folder / "model.safetensors")
        try:
            return cls(folder=folder, config=config, tensors=tensors, tokenizer=tokenizer)
        except UsageError as error:
            raise UsageError(f"{folder}: {error}") from error

    @property
    def max_tokens(self) -> int:
        """Where a text is cut, in word pieces with [CLS] and [SEP]."""
        return self.tokenizer.max_tokens

    @property
    def hidden(self) -> int:
        """Width of a vector of `encode`."""
        return self.config.hidden_size

    @cached_property
    def sha256(self) -> str:
        """Hash of the weights; see `weights_sha256`."""
        return weights_sha256(self._tensors)

    @property
    def tensors(self) -> Mapping[str, np.ndarray]:
        """The weights under Hugging Face names, float32."""
        return self._tensors

    @cached_property
    def model(self) -> tf_keras.Model:
        """The tf_keras model (ids, mask) -> pooled, any batch and length, not trainable."""
        from dualtower_trainer.bert import build_bert, load_weights

        model = build_bert(self.config)
        load_weights(model, self._tensors)
        model.trainable = False
        return model

    def encode(self, texts: Sequence[str | bytes], batch_size: int = 128) -> np.ndarray:
        """Vectors float32 [n, hidden] of n texts, in their order.

        Texts are sorted by length and padded to the longest of their batch, so that short titles
        do not pay for long ones. The vector of a text depends on its batch only by rounding.
        """
        if batch_size < 1:
            raise UsageError(f"batch_size must be at least 1, got {batch_size}")
        rows = self.tokenizer.rows(texts)
        order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
        vectors = np.empty((len(rows), self.hidden), np.float32)
        with bar("encode texts", len(rows)) as moving:
            for begin in range(0, len(order), batch_size):
                places = order[begin : begin + batch_size]
                ids, mask = self.tokenizer.pad([rows[place] for place in places])
                vectors[places] = self._forward(ids, mask)
                moving.advance(len(places))
        return vectors

    def save(self, folder: Path | str, notes: Mapping[str, str] | None = None) -> Path:
        """Writes config.json, model.safetensors and vocab.txt into a new folder, whole or not.

        `notes` are further files, contents by name.
        """
        folder = Path(folder)
        with atomic_folder(folder) as temporary:
            (temporary / "config.json").write_text(self.config.to_json(), encoding="utf-8")
            vocab = "\n".join(self.tokenizer.vocab) + "\n"
            (temporary / "vocab.txt").write_bytes(vocab.encode())
            # not save_file: it reports a full disk as an error of its own kind
            weights = safetensors.numpy.save(dict(self._tensors), metadata={"format": "pt"})
            (temporary / "model.safetensors").write_bytes(weights)
            lowercase = json.dumps({"do_lower_case": self.tokenizer.lowercase})
            (temporary / _TOKENIZER_CONFIG).write_text(lowercase + "\n", encoding="utf-8")
            for name, content in (notes or {}).items():
                (temporary / name).write_text(content, encoding="utf-8")
        return folder

    @cached_property
    def _forward(self) -> Any:
        """(ids, mask) numpy -> vectors numpy, traced once for every shape."""
        import tensorflow as tf

        model = self.model  # built here: inside the trace its weights would not be loaded
        spec = tf.TensorSpec([None, None], tf.int32)
        graph = tf.function(
            lambda ids, mask: model([ids, mask]), input_signature=[spec, spec], autograph=False
        )
        return lambda ids, mask: graph(ids, mask).numpy()


def weights_sha256(tensors: Mapping[str, np.ndarray]) -> str:
    """sha256 over the names in order, and each tensor's dtype, shape and bytes."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {value.dtype.str} {list(value.shape)}\n".encode())
        digest.update(value.data)
    return digest.hexdigest()


def _require_files(folder: Path) -> None:
    if not folder.is_dir():
        raise UsageError(
            f"{folder} is no folder; give a Hugging Face BERT folder, or run: "
            "dualtower encoder fetch minilm"
        )
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        hint = ""
        if (folder / "pytorch_model.bin").is_file() and "model.safetensors" in missing:
            hint = "; pytorch_model.bin is not read, convert it to model.safetensors first"
        raise UsageError(
            f"{folder} lacks {', '.join(missing)}; a BERT folder has {', '.join(FILES)}{hint}"
        )


def _read_tensors(path: Path) -> dict[str, np.ndarray]:
    try:
        return safetensors.numpy.load_file(path)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error}") from error
    except (safetensors.SafetensorError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is no whole safetensors file ({error}); it may be truncated: fetch it again"
        ) from error


def _lowercase(folder: Path) -> bool:
    """`do_lower_case` of tokenizer_config.json; BERT's default, true, without that file."""
    path = folder / _TOKENIZER_CONFIG
    if not path.is_file():
        return True
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return bool(values.get("do_lower_case", True))
    except (ValueError, AttributeError) as error:
        raise UsageError(f"{path} is not a valid tokeniser configuration: {error}") from error


def _check_sizes(folder: Path, config: BertConfig, tokenizer: Tokenizer) -> None:
    if len(tokenizer.vocab) != config.vocab_size:
        raise UsageError(
            f"vocab.txt has {len(tokenizer.vocab)} pieces, config.json says vocab_size "
            f"{config.vocab_size}; the files do not belong together"
        )
    if tokenizer.max_tokens > config.max_position_embeddings:
        raise UsageError(
            f"max_tokens {tokenizer.max_tokens} is more than the {config.max_position_embeddings} "
            "positions of this BERT (max_position_embeddings)"
        )
