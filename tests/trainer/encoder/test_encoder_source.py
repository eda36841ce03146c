"""RUN/tiny is made from the texts of a training, and anew when they are others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dualtower_trainer  # noqa: F401  before TensorFlow
from dualtower.errors import UsageError
from dualtower_trainer.cli import load_run_config
from dualtower_trainer.encoder import Encoder, EncoderConfig
from dualtower_trainer.encoder_source import resolve_encoder
from dualtower_trainer.tiny import TinyConfig, is_made_from, make_tiny
from dualtower_trainer.train import train

TEXTS = [f"{colour} {kind} {size}" for colour in ("green", "black") for kind in ("tea", "soap")
         for size in ("small", "large", "huge")]  # fmt: skip
TINY = EncoderConfig(name="tiny", max_tokens=8)
QUICK = (
    "encoder.name=tiny", "encoder.max_tokens=8", "model.dim=32", "model.history_items=4",
    "closed_form.regularisation=30", "closed_form.sharpening=0", "train.steps=0",
    "split.kind=last", "train.fresh_share=0", "model.trend=false",
)  # fmt: skip


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Forty people who take five of twelve items."""
    random = np.random.default_rng(0)
    rows = [(f"u{n}", f"i{item}", 86_400 * (1 + day)) for n in range(40)
            for day, item in enumerate(random.permutation(len(TEXTS))[:5])]  # fmt: skip
    users, items, seconds = zip(*rows, strict=True)
    folder = tmp_path / "data"
    folder.mkdir()
    times = pa.array(seconds, pa.int64())
    weights = pa.array(np.ones(len(rows), np.float32))
    log = {"user_id": users, "item_id": items, "timestamp": times, "weight": weights}
    pq.write_table(pa.table(log), folder / "interactions.parquet")
    write_items(folder, TEXTS)
    return folder


def write_items(data: Path, texts: list[str]) -> None:
    item_ids = [f"i{place}" for place in range(len(texts))]
    table = pa.table({"item_id": item_ids, "text": texts, "blocked": [False] * len(texts)})
    pq.write_table(table, data / "items.parquet")


def test_what_a_tiny_encoder_was_made_from_is_known(tmp_path: Path) -> None:
    quick = TinyConfig(steps=1, vocab_size=100)
    tiny = make_tiny(TEXTS, tmp_path / "tiny", seed=1, config=quick)
    assert is_made_from(tiny, TEXTS, seed=1, config=quick)
    assert not is_made_from(tiny, [*TEXTS, "new"], seed=1, config=quick)
    assert not is_made_from(tiny, TEXTS[::-1], seed=1, config=quick)
    assert not is_made_from(tiny, TEXTS, seed=2, config=quick)
    assert not is_made_from(tiny, TEXTS, seed=1)
    (tiny / "made_from.json").unlink()
    assert not is_made_from(tiny, TEXTS, seed=1, config=quick)


def test_it_is_kept_unless_another_is_asked_for(tmp_path: Path) -> None:
    first = resolve_encoder(TINY, TEXTS, tmp_path)
    made = (tmp_path / "tiny" / "model.safetensors").stat().st_mtime_ns
    other = [text.replace("soap", "bread") for text in TEXTS]
    assert resolve_encoder(TINY, other, tmp_path).sha256 == first.sha256
    resolve_encoder(TINY, TEXTS, tmp_path, replace=True)
    assert (tmp_path / "tiny" / "model.safetensors").stat().st_mtime_ns == made


def test_overwriting_a_training_makes_it_from_the_new_texts(shop: Path, tmp_path: Path) -> None:
    run, config = tmp_path / "run", load_run_config(None, QUICK)
    train(shop, run, config)
    before = Encoder.load(run / "tiny").sha256
    write_items(shop, [text.replace("soap", "bread") for text in TEXTS])
    with pytest.raises(UsageError, match=r"other data\.items.*--overwrite"):
        train(shop, run, config)
    assert Encoder.load(run / "tiny").sha256 == before, "a refused command changes nothing"

    assert not train(shop, run, config, overwrite=True)["reused"]
    for encoder in (Encoder.load(run / "tiny"), Encoder.load(run / "model" / "encoder")):
        assert "bread" in encoder.tokenizer.vocab
        assert "soap" not in encoder.tokenizer.vocab
    made = (run / "tiny" / "model.safetensors").stat().st_mtime_ns
    assert train(shop, run, config, overwrite=True)["reused"]
    assert (run / "tiny" / "model.safetensors").stat().st_mtime_ns == made
