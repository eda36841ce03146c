from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dualtower.errors import UsageError
from dualtower_trainer.bert_config import BertConfig


def write(folder: Path, values: Any) -> Path:
    path = folder / "config.json"
    path.write_text(values if isinstance(values, str) else json.dumps(values))
    return path


def valid(config: BertConfig) -> dict[str, Any]:
    return json.loads(config.to_json())


def test_json_reads_back_equal(config: BertConfig, tmp_path: Path) -> None:
    assert BertConfig.from_json(write(tmp_path, config.to_json())) == config


def test_the_text_is_what_hugging_face_reads(config: BertConfig) -> None:
    values = valid(config)
    assert values["model_type"] == "bert"
    assert values["architectures"] == ["BertModel"]
    assert values["hidden_size"] == 24


def test_unknown_keys_are_ignored_and_defaults_filled_in(
    config: BertConfig, tmp_path: Path
) -> None:
    values = valid(config)
    for key in ("max_position_embeddings", "type_vocab_size", "layer_norm_eps", "hidden_act"):
        del values[key]
    values.update(use_cache=True, transformers_version="4.8.2", classifier_dropout=None)
    read = BertConfig.from_json(write(tmp_path, values))
    assert (read.max_position_embeddings, read.type_vocab_size) == (512, 2)
    assert (read.layer_norm_eps, read.hidden_act) == (1e-12, "gelu")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "roberta"}, "model_type is 'roberta', only 'bert'"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ({"is_decoder": True}, "is_decoder is True"),
        ({"hidden_size": 25}, "hidden_size 25 must be a multiple of num_attention_heads 3"),
        ({"hidden_size": "24"}, "hidden_size must be a whole number from 1, got '24'"),
        ({"num_hidden_layers": 0}, "num_hidden_layers must be a whole number from 1, got 0"),
        ({"vocab_size": True}, "vocab_size must be a whole number"),
        ({"layer_norm_eps": 0}, "layer_norm_eps must lie in"),
        ({"hidden_act": "swish"}, "hidden_act 'swish' is not supported; known: gelu"),
    ],
)
def test_what_cannot_be_read_is_named(
    config: BertConfig, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = write(tmp_path, {**valid(config), **change})
    with pytest.raises(UsageError, match=message) as caught:
        BertConfig.from_json(path)
    assert str(path) in str(caught.value)


def test_missing_sizes_are_named(config: BertConfig, tmp_path: Path) -> None:
    values = valid(config)
    del values["hidden_size"], values["vocab_size"]
    with pytest.raises(UsageError, match="lacks vocab_size, hidden_size"):
        BertConfig.from_json(write(tmp_path, values))


@pytest.mark.parametrize("text", ["", "{", "[1]", '"bert"', "\x00"])
def test_broken_files_are_errors(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"config\.json"):
        BertConfig.from_json(write(tmp_path, text))


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        BertConfig.from_json(tmp_path / "config.json")
