"""The tokeniser as a part of a graph: shapes, the operations that a server must know, errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from dualtower.edge.tokenizer import Tokenizer
from dualtower.errors import UsageError
from dualtower_trainer.tokenizer_graph import graph_tokenizer, normalise


def test_normalise_keeps_the_shape() -> None:
    texts = tf.constant([["TÉA", ""], ["½", "a\tb"]])
    assert normalise(texts).numpy().tolist() == [[b"tea", b""], ["½".encode(), b"a b"]]
    assert normalise(tf.constant("ΟΔΟΣ")).numpy().decode() == "οδοσ"


def test_lower_casing_does_not_ask_for_the_place_in_the_word() -> None:
    assert normalise(tf.constant(["ΑΣ", "ας", "IİI"])).numpy().tolist() == [
        *("ασ".encode(), "ας".encode(), b"iii")
    ]


def test_no_texts_give_no_rows(vocab: list[str]) -> None:
    ids, mask = graph_tokenizer(vocab, 8)(tf.constant([], tf.string))
    assert ids.shape == mask.shape == (0, 2)


def test_a_saved_graph_has_two_ops_of_tf_text_and_plain_ones(
    vocab: list[str], tmp_path: Path
) -> None:
    class Served(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokenizer = graph_tokenizer(vocab, 8)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
        def serve(self, text):
            ids, mask = self.tokenizer(text)
            return {"ids": ids, "mask": mask}

    served = Served()
    tf.saved_model.save(served, str(tmp_path / "1"), signatures=served.serve)
    loaded = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"]
    texts = ["Green TÉA!", "", "cups " * 10]
    got = loaded(text=tf.constant(texts))
    ids, mask = Tokenizer(vocab, max_tokens=8)(texts)
    np.testing.assert_array_equal(got["ids"], ids)
    np.testing.assert_array_equal(got["mask"], mask)
    ops = {op.type for op in served.serve.get_concrete_function().graph.get_operations()}
    unusual = {"FastWordpieceTokenizeWithOffsets", "NormalizeUTF8"}
    assert {op for op in ops if op.startswith(("Fast", "TFText", "Normalize", "Ragged"))} <= {
        *unusual,
        "RaggedTensorToTensor",
    }
    assert unusual <= ops


def test_no_room_for_a_text_is_an_error(vocab: list[str]) -> None:
    with pytest.raises(UsageError, match="max_tokens must be at least 2"):
        graph_tokenizer(vocab, 1)
