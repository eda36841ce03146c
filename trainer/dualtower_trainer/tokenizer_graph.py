"""Text to BERT word pieces inside of the graph, with the ids of `tokenizer.Tokenizer`.

TF-Text's own lower-casing differs from Hugging Face's on compatibility characters (½ ™ … ß, full
width), so the text is normalised by plain string ops before FastWordpieceTokenizer cuts it, and
trimmed and padded by plain TensorFlow after. NormalizeUTF8 and FastWordpieceTokenizeWithOffsets are
the only TF-Text ops, since servers lag behind and some lack FastBertNormalize or RoundRobinTrim.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf
import tensorflow_text as tf_text

from dualtower.errors import UsageError
from dualtower_trainer.tokenizer import CLS, MAX_WORD_BYTES, PAD, SEP, UNK
from dualtower_trainer.unicode_gap import GAP_PATTERN

__all__ = ["GraphTokenizer", "graph_tokenizer", "normalise"]

_SPACES = r"[\t\n\r\p{Zs}\x{2028}\x{2029}]+"
_DROPPED = r"[\x00\x{FFFD}\p{Cc}\p{Cf}\p{Co}]"


def normalise(texts: tf.Tensor, *, lowercase: bool = True) -> tf.Tensor:
    """What Hugging Face's BertNormalizer does to strings of any shape and any bytes."""
    texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
    texts = tf.strings.regex_replace(texts, _SPACES, " ")
    texts = tf.strings.regex_replace(texts, _DROPPED, "")
    texts = tf.strings.regex_replace(texts, GAP_PATTERN, "")
    if not lowercase:
        return texts
    texts = tf_text.normalize_utf8(texts, "NFD")
    texts = tf.strings.regex_replace(texts, r"\p{Mn}", "")
    # ICU lowers by the language of the server and by the place in the word: ASCII first, so that a
    # Turkish locale cannot make I a dotless ı, and Σ by hand, since ICU writes ς at a word's end.
    texts = tf.strings.regex_replace(tf.strings.lower(texts), "Σ", "σ")
    return tf.strings.lower(texts, encoding="utf-8")


class GraphTokenizer(tf.Module):
    """string [n] -> (ids, mask) int32 [n, longest], longest at most `max_tokens`."""

    def __init__(self, vocab: Sequence[str], max_tokens: int, *, lowercase: bool = True) -> None:
        super().__init__(name="tokenizer")
        if max_tokens < 2:
            raise UsageError(f"max_tokens must be at least 2 ([CLS] and [SEP]), got {max_tokens}")
        vocab = list(vocab)
        self._max_tokens, self._lowercase = max_tokens, lowercase
        self._pad, self._cls, self._sep = (vocab.index(token) for token in (PAD, CLS, SEP))
        self._pieces = tf_text.FastWordpieceTokenizer(
            vocab,
            max_bytes_per_word=MAX_WORD_BYTES,
            token_out_type=tf.int32,
            unknown_token=UNK,
        )

    def __call__(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The ids and the mask of a batch of texts; an empty text is [CLS] [SEP]."""
        pieces = self._pieces.tokenize(normalise(texts, lowercase=self._lowercase))
        lengths = tf.minimum(tf.cast(pieces.row_lengths(), tf.int32), self._max_tokens - 2)
        longest = tf.reduce_max(tf.concat([[0], lengths], axis=0))
        body = pieces.to_tensor(self._pad, shape=[None, self._max_tokens - 2])[:, :longest]
        place = tf.expand_dims(tf.range(longest + 2), 0)
        last = tf.expand_dims(lengths + 1, 1)
        ids = tf.pad(body, [[0, 0], [1, 1]], constant_values=self._pad)
        ids = tf.where(place == 0, self._cls, tf.where(place == last, self._sep, ids))
        return ids, tf.cast(place <= last, tf.int32)


def graph_tokenizer(
    vocab: Sequence[str], max_tokens: int, *, lowercase: bool = True
) -> GraphTokenizer:
    """The in-graph tokeniser of a vocabulary, equal to `Tokenizer` with the same arguments."""
    return GraphTokenizer(vocab, max_tokens, lowercase=lowercase)
