"""A whole training with mined negatives and streamed counts, stopped between two minings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualtower.edge.tokenizer import Tokenizer
from dualtower_trainer.bert_config import BertConfig
from dualtower_trainer.bert_weights import random_tensors
from dualtower_trainer.cli import load_run_config
from dualtower_trainer.encoder import Encoder
from dualtower_trainer.learner import Learner
from dualtower_trainer.train import train

DAY_S = 86_400
SETTINGS = (
    "train.initial=random", "train.steps=12", "train.evaluate_every=5", "train.patience=9",
    "train.users_per_step=16", "train.targets_per_user=4", "train.uniform_negatives=32",
    "train.learning_rate=0.01", "train.user_rate=1", "train.own_rate=1",
    "encoder.max_tokens=8", "model.dim=16", "model.history_items=12", "model.hidden_units=16",
    "loss.kind=sampled_softmax", "negatives.popular=16", "negatives.hard_per_user=2",
    "negatives.first_rank=1", "negatives.last_rank=20", "negatives.max_score=1.0",
    "negatives.margin=0.0", "negatives.warmup_steps=3", "negatives.refresh_every=4",
    "negatives.near_duplicates=true", "negatives.diverse_targets=true",
    "negatives.log_q=streaming",
)  # fmt: skip


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Data in which people stay with their kind of goods, and an encoder of random weights."""
    folder = tmp_path_factory.mktemp("shop")
    random = np.random.default_rng(3)
    words = ["tea", "bread", "wine"]
    texts = [f"{words[row // 20]} {row % 19}" for row in range(60)]  # the last says what one said
    users = np.repeat(np.arange(80), 20)
    items = np.where(random.random(1600) < 0.9, users % 3, random.integers(3, size=1600)) * 20
    items += (20 * random.random(1600) ** 2).astype(int)
    seconds = 1_700_000_000 + random.integers(200 * DAY_S, size=1600)
    log = {
        "user_id": [f"u{user}" for user in users], "item_id": [f"i{item:02d}" for item in items],
        "timestamp": pa.array(seconds, pa.int64()), "weight": pa.array(np.ones(1600, np.float32)),
    }  # fmt: skip
    goods = {
        "item_id": [f"i{row:02d}" for row in range(60)], "text": texts, "blocked": [False] * 60,
    }  # fmt: skip
    (folder / "data").mkdir()
    pq.write_table(pa.table(log), folder / "data" / "interactions.parquet")
    pq.write_table(pa.table(goods), folder / "data" / "items.parquet")
    digits = [*"0123456789", *(f"##{digit}" for digit in range(10))]
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words, *digits]
    config = BertConfig(
        vocab_size=len(vocab), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=16,
    )  # fmt: skip
    tensors = random_tensors(config, seed=3, stddev=0.3)
    encoder = Encoder(
        folder=Path(), config=config, tensors=tensors, tokenizer=Tokenizer(vocab, max_tokens=8)
    )
    return folder / "data", str(encoder.save(folder / "encoder"))


def test_stopped_it_ends_as_if_it_had_not_been(
    shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, encoder = shop
    config = load_run_config(None, (f"encoder.name={encoder}", *SETTINGS))
    whole = train(data, tmp_path / "whole", config)
    assert "hard negatives a user" in capsys.readouterr().err
    taken = Learner.step

    def stops(self, batch, step: int) -> float:
        if step == 6:
            raise KeyboardInterrupt
        return taken(self, batch, step)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "step", stops)
        with pytest.raises(KeyboardInterrupt):
            train(data, tmp_path / "stopped", config)
    stopped = train(data, tmp_path / "stopped", config)
    assert "resuming at step 5 of 12" in capsys.readouterr().err
    assert stopped["losses"] == whole["losses"]
    assert stopped["history"] == whole["history"]
    assert len(whole["losses"]) == 12
    plain = train(
        data, tmp_path / "plain",
        load_run_config(None, (f"encoder.name={encoder}", *SETTINGS[:15])),
    )  # fmt: skip
    assert plain["losses"][0] != whole["losses"][0]
    stored = json.loads((tmp_path / "whole" / "request.json").read_text())
    assert stored["negatives"]["hard_per_user"] == 2
