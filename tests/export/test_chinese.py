"""Chinese all the way: a log, `dualtower train` with a vocabulary of its own, a bundle, answers."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import BertWordPieceTokenizer

from dualtower.bundle import Bundle
from dualtower.cli import main
from dualtower.edge.runner import EdgeItemTower, EdgeRecommender, NewItem
from dualtower.edge.tokenizer import UNK
from dualtower_export import ExportConfig
from dualtower_export.plan import plan_export
from dualtower_export.reference import Reference
from dualtower_export.serving_session import open_model

pytestmark = pytest.mark.slow  # one training and one export, half a minute

MAKES = ["春山", "老茶坊", "云雾", "福记", "小厨娘", "北方"]
KINDS = [
    "龙井绿茶",
    "茉莉花茶",
    "普洱熟茶",
    "红糖姜茶",
    "手工挂面",
    "芝麻酱",
    "陈年香醋",
    "白瓷茶杯",
    "竹制茶盘",
    "棉麻围裙",
]
SIZES = ("250克", "500克装", "礼盒", "两件套", "1.5升（特价）", "ＸＬ号")
TRAINING = (
    "encoder.name=tiny", "encoder.max_tokens=16", "model.dim=32", "model.history_items=8",
    "model.hidden_units=32", "closed_form.regularisation=30", "closed_form.sharpening=0",
    "train.steps=2", "train.evaluate_every=1", "split.validation_days=30", "split.test_days=30",
    "model.trend=false",
)  # fmt: skip
EXPORT = (
    "export.k_max=20", "export.edge_k=10", "export.batch_sizes=[1, 4]", "export.length_buckets=[8]",
    'export.variants=["float32"]', "export.jobs=1",
)  # fmt: skip
NEW = [
    "春山龙井绿茶 100克（新茶）", "茶", "云雾普洱熟茶，陈年！", "繁體中文：茉莉花茶禮盒",
    "龙井green tea", "2024年春茶・明前", "白瓷\u3000茶杯　两件套", "芝\u200b麻\u00ad酱", "龘鱻麤",
    "", "ＸＬ号围裙", "姜茶" * 30,
]  # fmt: skip


def texts() -> list[str]:
    made = itertools.product(MAKES, KINDS)
    return [f"{make}{kind} {SIZES[row % len(SIZES)]}" for row, (make, kind) in enumerate(made)]


def write_shop(folder: Path) -> Path:
    """People who stay with two kinds each, over half a year."""
    random = np.random.default_rng(0)
    folder.mkdir()
    names = texts()
    ids = [f"货号{row:03d}" for row in range(len(names))]
    items = {"item_id": ids, "text": names, "blocked": [False] * len(ids)}
    pq.write_table(pa.table(items), folder / "items.parquet")
    log = [
        (f"顾客{user}", ids[(user + offset) % 10 + 10 * make], 1_700_000_000 + int(day) * 86_400)
        for user in range(60)
        for offset, make, day in zip(
            random.integers(2, size=16),
            random.integers(6, size=16),
            random.integers(180, size=16),
            strict=True,
        )
    ]
    users, taken, times = zip(*log, strict=True)
    columns = {
        "user_id": users,
        "item_id": taken,
        "timestamp": pa.array(times, pa.int64()),
        "weight": pa.array(np.ones(len(log), np.float32)),
    }
    pq.write_table(pa.table(columns), folder / "interactions.parquet")
    return folder


def _run(*command: str, settings: tuple[str, ...]) -> None:
    flags = [word for setting in settings for word in ("--set", setting)]
    main([*command, *flags])


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Bundle]:
    """A run and its bundle, as the command line makes them."""
    folder = tmp_path_factory.mktemp("chinese")
    data, run, out = write_shop(folder / "data"), folder / "run", folder / "bundle"
    _run("train", "--data", str(data), "--out", str(run), settings=TRAINING)
    _run("export", str(run), "--out", str(out), settings=EXPORT)
    return run, Bundle.open(out)


@pytest.fixture(scope="module")
def plan(road):
    return plan_export(road[0], ExportConfig())


@pytest.fixture(scope="module")
def wanted(plan) -> np.ndarray:
    """The trainer's embeddings of the catalogue and of new texts."""
    return Reference(plan.trained, plan.encoder, plan.index).items([*texts(), *NEW])


def hugging_face(vocab: list[str], asked: list[str], max_tokens: int) -> list[list[int]]:
    theirs = BertWordPieceTokenizer(vocab={piece: row for row, piece in enumerate(vocab)})
    theirs.enable_truncation(max_tokens)
    return [encoding.ids for encoding in theirs.encode_batch(asked)]


def test_the_vocabulary_has_every_character_of_the_shop(plan) -> None:
    tokenizer = plan.encoder.tokenizer
    rows = hugging_face(tokenizer.vocab, texts(), tokenizer.max_tokens)
    assert tokenizer.rows(texts()) == rows
    assert tokenizer.vocab.index(UNK) not in itertools.chain(*rows)
    pieces = [tokenizer.vocab[id] for id in tokenizer.rows(["龙井绿茶"])[0]]
    assert pieces == ["[CLS]", "龙", "井", "绿", "茶", "[SEP]"]


def test_the_written_item_tower(road, plan, wanted: np.ndarray) -> None:
    asked = [*texts(), *NEW]
    tokenizer = plan.encoder.tokenizer
    rows = hugging_face(tokenizer.vocab, asked, tokenizer.max_tokens)
    ids, mask = tokenizer.pad(rows)
    _, bundle = road
    with open_model(bundle.model_path("item_tower") / str(bundle.version)) as served:
        from_texts = served("serving_default", text=np.array(asked, object))["embedding"]
        from_ids = served("from_tokens", ids=ids, mask=mask)["embedding"]
    np.testing.assert_allclose(from_texts, wanted, atol=1e-5)
    np.testing.assert_allclose(from_ids, wanted, atol=1e-5)
    assert len(np.unique(from_texts.round(4), axis=0)) > 60


def test_the_item_tower_of_a_phone(road, wanted: np.ndarray) -> None:
    tower = EdgeItemTower(road[1].edge_path / "item_tower.float32.tflite")
    np.testing.assert_allclose(tower.embed([*texts(), *NEW]), wanted, atol=1e-5)


def test_lists_of_the_server_and_of_a_phone(road) -> None:
    bundle = road[1]
    edge = EdgeRecommender(bundle.edge_path)
    history = ["货号000", "货号010", "货号020"]
    found = edge.recommend([*history, NewItem(NEW[0])], k=10)
    assert len(found) == 10
    assert not {entry.item_id for entry in found} & set(history)
    with open_model(bundle.model_path("recommender") / str(bundle.version)) as served:
        names = texts()
        asked = [names[0], names[10], names[20], NEW[0]]
        exclude = np.array([[""]], object)
        answer = served("serving_default", history=np.array([asked], object), exclude=exclude)
        by_ids = served("from_item_ids", item_ids=np.array([history], object), exclude=exclude)
    listed = [item_id.decode() for item_id in answer["item_ids"][0]]
    assert len({entry.item_id for entry in found} & set(listed[:10])) >= 8
    assert by_ids["item_ids"][0][0].decode().startswith("货号")
