"""The tiny encoder: a small BERT that learns a catalogue's own words, in seconds and on a CPU.

    texts ─► WordPiece vocabulary ─► BERT, 2 layers of 128
      └────► TF-IDF ─► LSA vectors ─► teacher: the cosine of every pair of texts in a batch

The student's cosines are fitted to the teacher's (relational distillation, Park et al. 2019,
https://arxiv.org/abs/1904.05068), so it knows which items are described alike, in word pieces that
also cover texts it has never seen. It stands in where no pretrained weights can be reached, and in
quick demonstrations; it knows no language beyond the catalogue.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from dualtower.edge.tokenizer import Tokenizer
from dualtower.errors import DataError, UsageError
from dualtower.progress import bar, say
from dualtower_trainer.bert_config import BertConfig
from dualtower_trainer.bert_weights import random_tensors
from dualtower_trainer.encoder import Encoder
from dualtower_trainer.lsa import lsa_vectors
from dualtower_trainer.tfidf import tfidf_matrix
from dualtower_trainer.wordpiece import train_wordpiece

__all__ = ["Distilled", "TinyConfig", "distil", "is_made_from", "make_tiny", "read_texts"]

_MADE_FROM = "made_from.json"


@dataclass(frozen=True)
class TinyConfig:
    """How the tiny encoder is built; the defaults take about ten seconds on two cores."""

    vocab_size: int = 4000
    hidden: int = 128
    layers: int = 2
    heads: int = 4
    positions: int = 128  # the longest text it can ever take, in word pieces
    max_tokens: int = 32  # where texts are cut while it learns
    max_texts: int = 20_000  # more are sampled, so that the time has a bound
    steps: int = 200
    batch: int = 128
    learning_rate: float = 3e-3


@dataclass(frozen=True)
class Distilled:
    """A trained tiny encoder and its loss, the mean squared error of cosines, at every step."""

    encoder: Encoder
    losses: tuple[float, ...]


def make_tiny(
    texts: Sequence[str], out: Path, *, seed: int = 0, config: TinyConfig | None = None
) -> Path:
    """Trains a tiny encoder on `texts` and writes it as a BERT folder to `out`.

    The same texts, seed and machine give the same bytes. What it was made from lies beside the
    weights, for `is_made_from`.

    Raises:
        DataError: fewer than two different texts have a word in them.
        UsageError: `out` exists already or cannot be written.
    """
    out = Path(out)
    if out.exists():
        raise UsageError(f"{out} exists already; remove it or choose another folder")
    distilled = distil(texts, seed=seed, config=config)
    distilled.encoder.save(out, {_MADE_FROM: _ingredients(texts, seed, config)})
    first, last = distilled.losses[0], np.mean(distilled.losses[-10:])
    say(f"  tiny: {distilled.encoder.config.vocab_size} word pieces, loss {first:.4f} → {last:.4f}")
    return out


def is_made_from(
    folder: Path, texts: Sequence[str], *, seed: int = 0, config: TinyConfig | None = None
) -> bool:
    """Whether `make_tiny` made `folder` from these; False where nothing says so."""
    try:
        return (folder / _MADE_FROM).read_text("utf-8") == _ingredients(texts, seed, config)
    except (OSError, UnicodeDecodeError):
        return False


def distil(texts: Sequence[str], *, seed: int = 0, config: TinyConfig | None = None) -> Distilled:
    """Trains a tiny encoder on `texts`, in memory.

    Raises:
        DataError: fewer than two different texts have a word in them.
    """
    config = config or TinyConfig()
    generator = np.random.default_rng(seed)
    chosen = _sample(texts, config.max_texts, generator)
    # in a small catalogue nearly every word is rare, and rare words are all there is to learn from
    matrix = tfidf_matrix(chosen, min_texts=2 if len(chosen) >= 1000 else 1)
    teacher = lsa_vectors(matrix, config.hidden, seed=seed)
    taught = np.flatnonzero(np.linalg.norm(teacher, axis=1) > 0)
    if len(taught) < 2:
        raise DataError(
            "the tiny encoder learns from at least 2 different texts with words, got "
            f"{len(taught)} of {len(texts)}; check the text column, or use: "
            "dualtower encoder fetch minilm"
        )
    vocab = train_wordpiece(chosen, size=config.vocab_size)
    tokenizer = Tokenizer.from_vocab(vocab, max_tokens=config.max_tokens)
    bert = BertConfig(
        vocab_size=len(vocab),
        hidden_size=config.hidden,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        intermediate_size=4 * config.hidden,
        max_position_embeddings=config.positions,
    )
    rows = tokenizer.rows(chosen)
    batches = (
        (*tokenizer.pad([rows[place] for place in places]), teacher[places])
        for places in _batches(taught, config, generator)
    )
    tensors, losses = _train(bert, random_tensors(bert, seed=seed), batches, config)
    encoder = Encoder(folder=Path(), config=bert, tensors=tensors, tokenizer=tokenizer)
    return Distilled(encoder, losses)


def read_texts(path: Path) -> list[str]:
    """The `text` column of an items.parquet, or of the one in a folder; nulls are left out.

    Raises:
        DataError: no such file, no Parquet, or no `text` column of strings.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = Path(path) / "items.parquet" if Path(path).is_dir() else Path(path)
    try:
        column = pq.read_table(file, columns=["text"]).column("text")
    except (OSError, pa.ArrowException, KeyError) as error:
        raise DataError(
            f"cannot read the texts of {file} ({error}); it must be a Parquet file with a column "
            "`text`, as `dualtower data import` writes it"
        ) from error
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise DataError(f"the column `text` of {file} must be strings, got {column.type}")
    return [text for text in column.to_pylist() if text is not None]


def _ingredients(texts: Sequence[str], seed: int, config: TinyConfig | None) -> str:
    """All that decides the weights; of texts their number and a hash in their order."""
    facts = {
        "texts": len(texts),
        "texts_sha256": hashlib.sha256(json.dumps(list(texts)).encode()).hexdigest(),
        "seed": seed,
        **asdict(config or TinyConfig()),
    }
    return json.dumps(facts, indent=2) + "\n"


def _sample(texts: Sequence[str], limit: int, generator: np.random.Generator) -> list[str]:
    """Different texts in their order, at most `limit` of them."""
    different = list(dict.fromkeys(texts))
    if len(different) <= limit:
        return different
    places = np.sort(generator.choice(len(different), limit, replace=False))
    return [different[place] for place in places]


def _batches(
    rows: np.ndarray, config: TinyConfig, generator: np.random.Generator
) -> Iterator[np.ndarray]:
    """`steps` batches of row numbers, each row once per pass."""
    size = min(config.batch, len(rows))
    order = np.empty(0, np.int64)
    for _ in range(config.steps):
        if len(order) < size:
            order = generator.permutation(rows)
        batch, order = order[:size], order[size:]
        yield batch


def _train(
    bert: BertConfig,
    tensors: dict[str, np.ndarray],
    batches: Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]],
    config: TinyConfig,
) -> tuple[dict[str, np.ndarray], tuple[float, ...]]:
    """Fits the cosines of pooled vectors to those of the teacher by Adam, with a warm-up."""
    import tensorflow as tf
    import tf_keras

    from dualtower_trainer.bert import build_bert, load_weights, read_weights

    model = build_bert(bert)
    load_weights(model, tensors)
    variables = model.trainable_variables
    optimizer = tf_keras.optimizers.Adam(
        tf_keras.optimizers.schedules.CosineDecay(
            config.learning_rate / 10,
            config.steps,
            warmup_target=config.learning_rate,
            warmup_steps=max(1, config.steps // 10),
        )
    )
    tokens = tf.TensorSpec([None, None], tf.int32)

    @tf.function(
        input_signature=[tokens, tokens, tf.TensorSpec([None, bert.hidden_size])], autograph=False
    )
    def step(ids: tf.Tensor, mask: tf.Tensor, teacher: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            student = tf.math.l2_normalize(model([ids, mask]), axis=1, epsilon=1e-9)
            wanted = tf.matmul(teacher, teacher, transpose_b=True)
            got = tf.matmul(student, student, transpose_b=True)
            loss = tf.reduce_mean(tf.square(got - wanted))
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    losses = []
    with bar("distil the tiny encoder, steps", config.steps) as moving:
        for ids, mask, teacher in batches:
            losses.append(float(step(ids, mask, teacher)))
            moving.advance(note=f"loss {losses[-1]:.4f}")
    return read_weights(model), tuple(losses)
