"""A small trained run with random weights, real files and real held-out users."""

from __future__ import annotations

import os

# two threads for numpy and TensorFlow together, before either is imported
os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "2")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "2")

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dualtower_trainer  # noqa: F401  sets the environment of TensorFlow

_WORDS = """
green black white red sweet dark fresh dried salted whole milk tea coffee bread apple pear cheese
butter rice beans soup paste oil wine water juice cocoa sugar flour honey nut seed leaf small large
medium pack box jar tin bottle bag café über 茶 米
"""
WORDS = _WORDS.split()
DAY_S = 86_400
MAX_TOKENS, DIM, HISTORY_ITEMS, ITEMS = 12, 32, 8, 60


TRAINING = {
    "closed_form": {"regularisation": 300.0, "prior": 0.1, "trends": [[0.05, 0.5, 0.2]]},
    "tried": [{"regularisation": 300.0}],
    "history": [],
    "stopped": "fixture",
    "best_step": 50,
    "kept": "contrastive",
    "start": {"validation_recall_at_20": 0.25, "validation_cold_recall_at_20": None},
    "chosen": {"validation_recall_at_20": 0.26, "validation_cold_recall_at_20": None},
    "cold_scale": 0.75,
    "examples": 1,
    "wall_s": 0.1,
    "elapsed_s": 12.0,
}


def vocabulary(extra: tuple[str, ...] = ()) -> list[str]:
    """Word pieces for the texts below: whole words, letters and their continuations."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces += [word for word in WORDS if word.isascii()] + ["cafe", "uber", "茶", "米", "&", "-"]
    return [*pieces, *letters, *(f"##{letter}" for letter in letters), *extra]


def item_texts(seed: int, count: int) -> list[str]:
    """Texts of two to five words; row 7 has the text of row 3."""
    random = np.random.default_rng(seed)
    texts: list[str] = []
    while len(texts) < count:
        text = " ".join(random.choice(WORDS, size=random.integers(2, 6), replace=False))
        if text not in texts:
            texts.append(text)
    texts[7] = texts[3]
    return texts


def write_data(folder: Path, seed: int, count: int = ITEMS, users: int = 80) -> Path:
    """A canonical data folder: people with a taste, half a year of purchases."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    item_ids = [f"item-{row:03d}" if row else "item 000 ü" for row in range(count)]
    blocked = np.isin(np.arange(count), [5, 11])
    pq.write_table(
        pa.table(
            {
                "item_id": item_ids,
                "text": item_texts(seed, count),
                "category": ["drinks" if row % 2 else "food" for row in range(count)],
                "blocked": blocked,
            }
        ),
        folder / "items.parquet",
    )
    rows: dict[str, list] = {"user_id": [], "item_id": [], "timestamp": [], "weight": []}
    for user in range(users):
        taste = random.permutation(count)[:20]
        for item in random.choice(taste, size=24):
            rows["user_id"].append(f"user-{user}")
            rows["item_id"].append(item_ids[item])
            rows["timestamp"].append(1_700_000_000 + int(random.integers(180)) * DAY_S)
            rows["weight"].append(1.0)
    rows["weight"] = np.array(rows["weight"], np.float32)  # type: ignore[assignment]
    pq.write_table(pa.table(rows), folder / "interactions.parquet")
    return folder


def make_run(
    folder: Path,
    *,
    seed: int = 0,
    count: int = ITEMS,
    dim: int = DIM,
    history_items: int = HISTORY_ITEMS,
    extra_vocabulary: tuple[str, ...] = (),
    text_template: str = "{text}",
    max_tokens: int = MAX_TOKENS,
    wide_grams: int = 200,
    hold_test: bool = True,
    alter: Callable[[dict[str, np.ndarray]], None] = lambda tensors: None,
) -> Path:
    """Writes `folder/data` and `folder/run`, the run as `dualtower train` leaves it.

    `alter` changes the encoder's weights before anything is made of them.
    """
    from dualtower.edge.tokenizer import Tokenizer
    from dualtower_trainer.bert_config import BertConfig
    from dualtower_trainer.bert_weights import expected_shapes
    from dualtower_trainer.checkpoint import save_trained
    from dualtower_trainer.data import SplitConfig, load_dataset, split
    from dualtower_trainer.encoder import Encoder
    from dualtower_trainer.towers import (
        ItemShape,
        TowerConfig,
        build_item_head,
        build_user_tower,
    )
    from dualtower_trainer.wide import build_wide_vocabulary
    from dualtower_trainer.wide_layer import pair_tables

    random = np.random.default_rng(seed)
    data = write_data(folder / "data", seed, count)
    cut = SplitConfig(validation_days=30, test_days=30 * hold_test, cold_share=0.15 * hold_test)
    dataset = load_dataset(data)
    vocab = vocabulary(extra_vocabulary)
    bert = BertConfig(
        vocab_size=len(vocab),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=32,
    )
    tensors = {
        name: random.normal(1.0 if name.endswith("LayerNorm.weight") else 0.0, 0.2, shape)
        for name, shape in expected_shapes(bert).items()
    }
    alter(tensors)
    encoder = Encoder(
        folder=folder,
        config=bert,
        tensors=tensors,
        tokenizer=Tokenizer.from_vocab(vocab, max_tokens=max_tokens),
    )
    towers = TowerConfig(
        dim=dim, history_items=history_items, hidden_units=48, wide_grams=wide_grams
    )
    texts = list(dataset.catalogue.texts)
    ids, mask = encoder.tokenizer(texts)
    special = (encoder.tokenizer.cls_id, encoder.tokenizer.sep_id)
    wide = build_wide_vocabulary(ids, mask, special_ids=special, max_grams=wide_grams)
    pieces, pairs = len(wide.pieces), len(wide.pairs)
    buckets = pair_tables(wide.pairs + 1, pieces, pieces + 1).keys.shape[1]
    item_head = build_item_head(
        towers, ItemShape(encoder.hidden, len(vocab), pieces, pairs, buckets)
    )
    user_tower = build_user_tower(towers)
    for weight in user_tower.weights:
        weight.assign_add(random.normal(0.0, 0.1, weight.shape).astype(np.float32))
    spread = 0.4 / np.sqrt(dim)
    kernel, bias = item_head.get_layer("project").weights
    kernel.assign(random.normal(0.0, spread, kernel.shape))
    bias.assign(random.normal(0.0, 0.01, bias.shape))
    item_head.get_layer("centre").mean.assign(encoder.encode(texts).mean(axis=0))
    if len(wide):
        item_head.get_layer("wide").fill(wide)
    table = random.normal(0.0, spread, (len(wide) + 1, dim - 1))
    table[0] = 0
    item_head.get_layer("wide").table.assign(table)
    warm = split(dataset, cut, refit=True).warm
    residual = random.normal(0.0, spread, (count, dim - 1)).astype(np.float32) * warm[:, None]
    pooled = encoder.encode(texts)
    vectors = item_head({"pooled": pooled, "ids": ids, "mask": mask, "id_vector": residual}).numpy()
    run = folder / "run"
    run.mkdir()
    save_trained(
        run,
        config=towers,
        encoder=encoder,
        item_head=item_head,
        user_tower=user_tower,
        catalogue=dataset.catalogue,
        warm=warm,
        vectors=vectors,
        split=cut,
        data_path=data,
        training=TRAINING,
        text_template=text_template,
    )
    return run


@pytest.fixture(scope="session")
def run(made_once: Callable[..., Path]) -> Path:
    """A trained run; read it only."""
    return made_once("trained", make_run) / "run"


@pytest.fixture(scope="session")
def trained(run: Path):
    from dualtower_trainer.checkpoint import load_trained

    return load_trained(run)


@pytest.fixture
def new_run(tmp_path: Path) -> Callable[..., Path]:
    """Makes further runs, of one's own choosing."""

    def make(name: str, **settings: object) -> Path:
        (tmp_path / name).mkdir()
        return make_run(tmp_path / name, **settings)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def living_processes() -> Callable[[Path], list[str]]:
    """Command lines of the living processes that name a folder."""

    def find(folder: Path) -> list[str]:
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = path.read_bytes().decode(errors="replace")
            except OSError:  # it ended meanwhile
                continue
            if str(folder) in line:
                found.append(line)
        return found

    return find


def read_json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


SETTINGS = ("export.k_max=20", "export.batch_sizes=[1, 2, 4]")


@pytest.fixture(scope="session")
def bundle(run: Path, made_once: Callable[..., Path]):
    """A whole bundle of `run`; read it only."""
    from dualtower.bundle import Bundle
    from dualtower.config import load_section
    from dualtower_export import ExportConfig, export_bundle

    config = load_section("export", ExportConfig, overrides=SETTINGS)
    folder = made_once("exported", lambda folder: export_bundle(run, folder / "bundle", config))
    return Bundle.open(folder / "bundle")


@pytest.fixture(scope="session")
def plan(run: Path):
    """What an export of `run` knows before it writes."""
    from dualtower.config import load_section
    from dualtower_export import ExportConfig
    from dualtower_export.plan import plan_export

    return plan_export(run, load_section("export", ExportConfig, overrides=SETTINGS))


@pytest.fixture(scope="session")
def reference(plan):
    """The towers without a graph of ours."""
    from dualtower_export.reference import Reference

    return Reference(plan.trained, plan.encoder, plan.index)


@pytest.fixture(scope="session")
def served(bundle):
    """The three models of the bundle by name, each in a session."""
    from contextlib import ExitStack

    from dualtower.bundle import MODELS
    from dualtower_export.serving_session import open_model

    with ExitStack() as stack:
        yield {
            model: stack.enter_context(open_model(bundle.model_path(model) / str(bundle.version)))
            for model in MODELS
        }
