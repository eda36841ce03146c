"""Text to BERT word pieces inside of the graph, with the ids of `tokenizer.Tokenizer`.

TF-Text's own lower-casing differs from Hugging Face's on compatibility characters (½ ™ … ß, full
width), and its longest word is measured in bytes, so the text is normalised and long words are
found by plain string ops before FastWordpieceTokenizer cuts it; it is trimmed and padded by plain
TensorFlow after. NormalizeUTF8 and FastWordpieceTokenizeWithOffsets are the only TF-Text ops, since
servers lag behind and some lack FastBertNormalize or RoundRobinTrim.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf
import tensorflow_text as tf_text

from dualtower.edge.tokenizer import CLS, MAX_WORD_CHARACTERS, PAD, SEP, UNK
from dualtower.errors import UsageError
from dualtower_trainer.unicode_gap import spelling_of

__all__ = ["GraphTokenizer", "graph_tokenizer", "normalise"]

_SPACES = r"[\t\n\r\p{Zs}\x{2028}\x{2029}]+"
_PRIVATE = r"[\x{FFFD}\p{Co}]"
_DROPPED = r"[\p{Cc}\p{Cf}]"

# BERT's ideographs: each is a word
_IDEOGRAPHS = (
    r"\x{3400}-\x{4DBF}\x{4E00}-\x{9FFF}\x{F900}-\x{FAFF}\x{20000}-\x{2A6DF}\x{2A700}-\x{2B81F}"
    r"\x{2B920}-\x{2CEAF}\x{2F800}-\x{2FA1F}"
)
_ALONE = rf"([\p{{P}}{_IDEOGRAPHS}])"
# behind _ALONE the rest of what ends a word is ASCII, which keeps this automaton small
_LONG_WORD = rf"[^\x00-/:-@\[-`{{-~]{{{MAX_WORD_CHARACTERS + 1},}}"
_UTF8_BYTES = 4  # of a character, at most


def normalise(
    texts: tf.Tensor, *, lowercase: bool = True, rules: Sequence[tuple[str, str]] = ()
) -> tf.Tensor:
    """What Hugging Face's BertNormalizer does to strings of any shape and any bytes.

    Args:
        texts: the strings.
        lowercase: whether case and accents go.
        rules: of `Spelling`, for characters on which libraries differ.
    """
    texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
    texts = tf.strings.regex_replace(texts, _SPACES, " ")
    texts = tf.strings.regex_replace(texts, _PRIVATE, "")
    for pattern, rewrite in rules:
        texts = tf.strings.regex_replace(texts, pattern, rewrite)
    texts = tf.strings.regex_replace(texts, _DROPPED, "")
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
        self._spelling = spelling_of(vocab, lowercase=lowercase)
        self._pad, self._cls, self._sep = (vocab.index(token) for token in (PAD, CLS, SEP))
        self._pieces = tf_text.FastWordpieceTokenizer(
            list(self._spelling.pieces),
            max_bytes_per_word=MAX_WORD_CHARACTERS * _UTF8_BYTES,
            token_out_type=tf.int32,
            unknown_token=UNK,
        )

    def __call__(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The ids and the mask of a batch of texts; an empty text is [CLS] [SEP]."""
        spelling = self._spelling
        texts = normalise(texts, lowercase=self._lowercase, rules=spelling.rules)
        texts = tf.strings.regex_replace(texts, _ALONE, r" \1 ")
        texts = tf.strings.regex_replace(texts, _LONG_WORD, spelling.unknown)
        pieces = self._pieces.tokenize(texts)
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
