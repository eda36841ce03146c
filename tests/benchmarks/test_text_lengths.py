"""Texts of a length: exact by a tokeniser that the code does not share, seeded, counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tokenizers

from dualtower.bundle import Bundle
from dualtower.errors import BundleError, ConfigError, UsageError
from dualtower_benchmarks.load.text_lengths import TextLengths
from dualtower_benchmarks.load.workload import DISTINCT_REQUESTS, Workload
from dualtower_benchmarks.scenario.scenario import read_scenario

LONGEST = 16
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "tea", "##pot", "green", "blue", "##s", "-"]
TEXTS = ["green teapots", "Blue TEA", "tea-pot blue greens", "unheardof tea", "green"]


def bundle_in(folder: Path, vocabulary: list[str] = VOCABULARY) -> Bundle:
    (folder / "index").mkdir(parents=True)
    (folder / "edge").mkdir()
    (folder / "edge" / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    table = pa.table(
        {
            "item_id": [f"i{row}" for row in range(len(TEXTS))],
            "text": TEXTS,
            "blocked": [False] * len(TEXTS),
            "vector": pa.array(np.eye(len(TEXTS), 3).tolist(), pa.list_(pa.float32())),
        }
    )
    pq.write_table(table, folder / "index" / "catalogue.parquet")
    return Bundle(folder, {"space": {"lowercase": True, "item_tokens": LONGEST}})


def workload(folder: Path, tokens: str, *, seed: int = 3) -> Workload:
    bundle = Bundle(folder, {"space": {"lowercase": True, "item_tokens": LONGEST}})
    bundle = bundle if (folder / "index").exists() else bundle_in(folder)
    return Workload.of(bundle, seed=seed, history_texts=4, tokens=tokens)


def counted(texts: list[str], folder: Path) -> list[int]:
    """Word pieces with [CLS] and [SEP] by Hugging Face's own BERT tokeniser."""
    oracle = tokenizers.BertWordPieceTokenizer(str(folder / "edge" / "vocab.txt"), lowercase=True)
    return [len(oracle.encode(text).ids) for text in texts]


@pytest.mark.parametrize("pieces", [3, 4, 7, LONGEST])
def test_a_number_is_exact(pieces: int, tmp_path: Path) -> None:
    drawn = workload(tmp_path, str(pieces))
    texts = drawn.item_texts(200).tolist()
    assert set(counted(texts, tmp_path)) == {pieces}
    assert len(set(texts)) > 1
    histories = drawn.histories(30, width=6)
    assert histories.shape == (30, 6)
    assert (histories[:, 4:] == "").all()
    assert set(counted(histories[:, :4].ravel().tolist(), tmp_path)) == {pieces}


def test_lengths_are_drawn_by_median_and_sigma(tmp_path: Path) -> None:
    counts = counted(workload(tmp_path, "lognormal(7, 0.4)").item_texts(3000).tolist(), tmp_path)
    assert np.median(counts) == 7
    assert min(counts) >= 3
    assert max(counts) == LONGEST  # drawn beyond it, and cut to it
    # 84.1 % of a lognormal lie below the median times e^sigma
    assert abs(np.mean(np.array(counts) <= 7 * np.exp(0.4)) - 0.841) < 0.05


def test_a_file_is_sent_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("green tea\n\nBlue  teapots é\n")
    drawn = workload(tmp_path / "bundle", f"file:{path}")
    assert set(drawn.item_texts(50)) == {"green tea", "Blue  teapots é"}


def test_the_seed_decides(tmp_path: Path) -> None:
    one, same, other = (
        workload(tmp_path, "lognormal(6, 0.5)", seed=seed).item_texts(40).tolist()
        for seed in (1, 1, 2)
    )
    assert one == same
    assert one != other


def test_facts_are_of_what_is_sent(tmp_path: Path) -> None:
    drawn = workload(tmp_path, "lognormal(6, 0.5)")
    inputs = drawn.inputs("item_tower", 2, history_width=1)
    counts = np.sort(counted([text for one in inputs for text in one["text"]], tmp_path))
    facts = drawn.facts(inputs)
    assert facts["texts"] == 2 * DISTINCT_REQUESTS == len(counts)
    assert facts["pieces_p50"] == counts[len(counts) // 2 - 1]
    assert facts["pieces_p90"] == counts[int(np.ceil(0.9 * len(counts))) - 1]
    assert facts["pieces_max"] == counts[-1]
    assert facts["texts_cut"] == 0
    long = tmp_path / "long.txt"
    long.write_text("tea " * 20 + "\n")
    drawn = workload(tmp_path, f"file:{long}")
    facts = drawn.facts(drawn.inputs("user_tower", 1, history_width=3))
    assert facts["pieces_max"] == 22
    assert facts["texts_cut"] == facts["texts"] == 3 * DISTINCT_REQUESTS


def test_what_cannot_be_made_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"tokens = 17: .* cut a text at 16 word pieces"):
        workload(tmp_path, "17").item_texts(1)
    with pytest.raises(UsageError, match="cannot read"):
        workload(tmp_path, "file:nowhere.txt").item_texts(1)
    (tmp_path / "empty.txt").write_text("\n \n")
    with pytest.raises(UsageError, match="has no text"):
        workload(tmp_path, f"file:{tmp_path / 'empty.txt'}").item_texts(1)
    (tmp_path / "edge" / "vocab.txt").unlink()
    with pytest.raises(BundleError, match="missing"):
        workload(tmp_path, "5")


@pytest.mark.parametrize(
    "tokens",
    [
        "2",
        "-4",
        "many",
        "file:",
        "lognormal(12)",
        "lognormal(2, 1)",
        "lognormal(9, nan)",
        "1e3",
        "",
    ],
)
def test_a_form_that_is_none_is_refused_in_its_sweep(tokens: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="tokens is"):
        TextLengths.read(tokens)
    path = tmp_path / "mine.toml"
    sweeps = '[[sweep]]\nloop = "closed"\n[[sweep]]\nloop = "closed"\ntokens = ["8", "{}"]\n'
    path.write_text(sweeps.format(tokens))
    with pytest.raises(ConfigError, match=r"\[\[sweep\]\] 2 in .*tokens is"):
        read_scenario(path)
