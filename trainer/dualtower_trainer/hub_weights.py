"""A BERT of TF Hub under Hugging Face's names: numpy in, numpy out. No TensorFlow.

TF Hub's encoders come out of TF Model Garden
(https://github.com/tensorflow/models/tree/master/official/nlp), which names a variable
`transformer/layer_0/self_attention/query/kernel` and keeps heads apart: [hidden, heads, head]
into the attention and [heads, head, hidden] out of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from dualtower.errors import DataError, UsageError
from dualtower_trainer.bert_config import BertConfig
from dualtower_trainer.bert_weights import canonical_tensors

__all__ = ["bert_config_of", "bert_tensors_of"]

_WORDS = "word_embeddings/embeddings"
_EMBEDDINGS = {
    _WORDS: "embeddings.word_embeddings.weight",
    "position_embedding/embeddings": "embeddings.position_embeddings.weight",
    "type_embeddings/embeddings": "embeddings.token_type_embeddings.weight",
    "embeddings/layer_norm/gamma": "embeddings.LayerNorm.weight",
    "embeddings/layer_norm/beta": "embeddings.LayerNorm.bias",
}
_PARTS = {
    "self_attention/query": "attention.self.query",
    "self_attention/key": "attention.self.key",
    "self_attention/value": "attention.self.value",
    "self_attention/attention_output": "attention.output.dense",
    "self_attention_layer_norm": "attention.output.LayerNorm",
    "intermediate": "intermediate.dense",
    "output": "output.dense",
    "output_layer_norm": "output.LayerNorm",
}
_ENDS = {"kernel": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}
_LAYER = re.compile(r"transformer/layer_(\d+)/(.+)/(kernel|bias|gamma|beta)")
_FIRST_QUERY = "transformer/layer_0/self_attention/query/kernel"
_FIRST_INNER = "transformer/layer_0/intermediate/kernel"
_UNUSED = "pooler_transform/"  # ours pools by the mean
_SHOWN = 4


def bert_config_of(
    variables: Mapping[str, np.ndarray], *, hidden_act: str, layer_norm_eps: float
) -> BertConfig:
    """The sizes, read off the shapes; the two settings that no shape tells are given.

    Raises:
        DataError: these are not the variables of a BERT.
    """
    named = _without_prefix(variables)
    wanted = [*_EMBEDDINGS, _FIRST_QUERY, _FIRST_INNER]
    if missing := [name for name in wanted if name not in named]:
        raise DataError(_refusal("lacks", missing))
    if named[_FIRST_QUERY].ndim != 3:
        raise DataError(
            f"{_FIRST_QUERY} must have the shape [hidden, heads, head], "
            f"got {list(named[_FIRST_QUERY].shape)}"
        )
    words, (hidden, heads, _) = named[_WORDS], named[_FIRST_QUERY].shape
    layers = {int(found[1]) for name in named if (found := _LAYER.fullmatch(name))}
    try:
        return BertConfig(
            vocab_size=words.shape[0],
            hidden_size=hidden,
            num_hidden_layers=max(layers) + 1,
            num_attention_heads=heads,
            intermediate_size=named[_FIRST_INNER].shape[-1],
            max_position_embeddings=named["position_embedding/embeddings"].shape[0],
            type_vocab_size=named["type_embeddings/embeddings"].shape[0],
            layer_norm_eps=layer_norm_eps,
            hidden_act=hidden_act,
        )
    except UsageError as error:
        raise DataError(
            f"the sizes of this model fit no BERT that is supported: {error}"
        ) from error


def bert_tensors_of(
    config: BertConfig, variables: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The tensors of `expected_shapes(config)`, float32.

    Args:
        config: from `bert_config_of`.
        variables: by their names, with or without a prefix that all share; the pooler of the next
            sentence is left out.

    Raises:
        DataError: a variable is missing, unknown, or of another shape.
    """
    tensors, unknown = {}, []
    for name, value in _without_prefix(variables).items():
        if name.startswith(_UNUSED):
            continue
        layer = _LAYER.fullmatch(name)
        if name in _EMBEDDINGS:
            tensors[_EMBEDDINGS[name]] = value
        elif layer and layer[2] in _PARTS:
            flat = _flat(value, layer[2], layer[3])
            tensors[f"encoder.layer.{layer[1]}.{_PARTS[layer[2]]}.{_ENDS[layer[3]]}"] = flat
        else:
            unknown.append(name)
    if unknown:
        raise DataError(_refusal("has unknown", unknown))
    try:
        return canonical_tensors(config, tensors)
    except UsageError as error:
        raise DataError(f"the variables of this model are those of no BERT: {error}") from error


def _flat(value: np.ndarray, part: str, end: str) -> np.ndarray:
    """Heads side by side, and matrices [out, in]."""
    if end != "kernel":
        return value.reshape(-1)
    columns = value.shape[-1] if part.endswith("attention_output") else -1
    rows = -1 if part.endswith("attention_output") else value.shape[0]
    return value.reshape(rows, columns).T


def _without_prefix(variables: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    prefix = next((name.removesuffix(_WORDS) for name in variables if name.endswith(_WORDS)), "")
    return {name.removeprefix(prefix): value for name, value in variables.items()}


def _refusal(what: str, names: list[str]) -> str:
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (
        f"this model {what} variables: {', '.join(names[:_SHOWN])}{rest}; what can be read is BERT "
        "as TF Model Garden exports it, without factorised embeddings or shared layers (no ALBERT, "
        "ELECTRA-small, MobileBERT)"
    )
