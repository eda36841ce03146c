from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualtower.errors import DataError, UsageError
from dualtower_trainer.encoder import Encoder
from dualtower_trainer.tfidf import tfidf_matrix
from dualtower_trainer.tiny import TinyConfig, distil, make_tiny, read_texts

FAST = TinyConfig(steps=30, vocab_size=300)
SMALL = TinyConfig(vocab_size=600, hidden=64, batch=96, steps=120, max_tokens=16)


def catalogue(count: int = 600, seed: int = 0) -> list[str]:
    """Grocery-like texts: kind, brand, flavour and size, some words much rarer than others."""
    generator = np.random.default_rng(seed)
    kinds = ["green tea", "black tea", "ground coffee", "orange juice", "tomato soup", "rye bread"]
    kinds += ["whole milk", "goat cheese", "corn chips", "dish soap", "paper towels", "cat food"]
    flavours = ["organic", "decaf", "spicy", "sweet", "unsalted", "lemon", "vanilla", "classic"]
    brands = [
        f"{first}{last}" for first in ("acme", "nord", "sun") for last in ("field", "ley", "co")
    ]
    sizes = ["8 oz", "16 oz", "500 g", "1 l", "6 pack", "family size"]
    texts: dict[str, None] = {}
    while len(texts) < count:
        parts = (generator.choice(part) for part in (brands, flavours, kinds, sizes))
        texts[" ".join(parts)] = None
    return list(texts)


def neighbours(queries: np.ndarray, items: np.ndarray, k: int = 10) -> np.ndarray:
    return np.argsort(-(queries @ items.T), axis=1, kind="stable")[:, :k]


@pytest.mark.slow
def test_neighbours_of_unseen_texts_are_those_of_tfidf() -> None:
    texts = catalogue()
    seen, unseen = texts[100:], texts[:100]
    result = distil(seen, seed=0, config=SMALL)
    assert np.mean(result.losses[-10:]) < 0.1 * result.losses[0]
    vectors = result.encoder.encode([*seen, *unseen])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = neighbours(vectors[len(seen) :], vectors[: len(seen)])
    exact = tfidf_matrix([*seen, *unseen]).toarray()
    wanted = neighbours(exact[len(seen) :], exact[: len(seen)])
    shared = [len({*one} & {*other}) / 10 for one, other in zip(found, wanted, strict=True)]
    assert np.mean(shared) > 0.3  # random lists share 10 of 500, which is 0.02


def test_the_folder_is_a_bert(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = make_tiny(catalogue(200), tmp_path / "tiny", seed=1, config=FAST)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "word pieces, loss 0." in captured.err
    encoder = Encoder.load(out, max_tokens=24)
    assert (encoder.hidden, encoder.config.num_hidden_layers) == (128, 2)
    assert encoder.encode(["organic tea", ""]).shape == (2, 128)


def test_a_seed_gives_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    """Also where the limit has texts sampled; this process hashes in its own way."""
    code = (
        "import sys; from pathlib import Path; from dualtower_trainer.tiny import *\n"
        "config = TinyConfig(steps=10, max_texts=50, vocab_size=300)\n"
        "texts = Path(sys.argv[1]).read_text(encoding='utf-8').splitlines()\n"
        "make_tiny(texts, Path(sys.argv[2]), seed=5, config=config)"
    )
    texts = [*catalogue(150), "\u00fcnique"]
    (tmp_path / "texts").write_text("\n".join(texts), encoding="utf-8")
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "texts"), str(tmp_path / "other")],
        env={**os.environ, "PYTHONHASHSEED": "114"},
        check=True,
    )
    config = TinyConfig(steps=10, max_texts=50, vocab_size=300)
    make_tiny(texts, tmp_path / "here", seed=5, config=config)
    for path in (tmp_path / "here").iterdir():
        assert path.read_bytes() == (tmp_path / "other" / path.name).read_bytes()


def test_another_seed_gives_another_encoder() -> None:
    config = TinyConfig(steps=1, vocab_size=300)
    one, other = (distil(catalogue(50), seed=seed, config=config).encoder for seed in (0, 1))
    assert one.tokenizer.vocab == other.tokenizer.vocab
    assert one.sha256 != other.sha256


def test_two_texts_are_enough() -> None:
    texts = ["tea cup", "", "tea", "\x00", "tea"]
    result = distil(texts, config=TinyConfig(steps=2))
    assert len(result.losses) == 2
    assert np.all(np.isfinite(result.losses))
    assert np.all(np.isfinite(result.encoder.encode(texts)))


@pytest.mark.parametrize("texts", [[], ["tea"], ["tea", "tea"], ["", " ", "\x00"], ["tea", ""]])
def test_fewer_are_an_error(texts: list[str], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"at least 2 different texts with words, got [01] of"):
        make_tiny(texts, tmp_path / "tiny")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_kept(tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    with pytest.raises(UsageError, match="exists already"):
        make_tiny(["tea", "coffee"], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_texts_are_read_from_a_file_or_its_folder(tmp_path: Path) -> None:
    table = pa.table({"item_id": ["1", "2", "3"], "text": ["tea", None, ""]})
    pq.write_table(table, tmp_path / "items.parquet")
    assert read_texts(tmp_path) == read_texts(tmp_path / "items.parquet") == ["tea", ""]


def test_unreadable_texts_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    with pytest.raises(DataError, match=r"cannot read the texts of .*items\.parquet"):
        read_texts(tmp_path)
    path.write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match="must be a Parquet file with a column `text`"):
        read_texts(path)
    pq.write_table(pa.table({"title": ["tea"]}), path)
    with pytest.raises(DataError, match="a column `text`"):
        read_texts(path)
    pq.write_table(pa.table({"text": [1]}), path)
    with pytest.raises(DataError, match="must be strings, got int64"):
        read_texts(path)
