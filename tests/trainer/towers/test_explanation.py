"""Explanations of a real small training: they add up, and say what the towers say."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualtower.cli import main
from dualtower.errors import DataError, UsageError
from dualtower_trainer.checkpoint import Trained, load_trained
from dualtower_trainer.explain.attribution import Attribution
from dualtower_trainer.explain.explanation import ExplainConfig, explain
from dualtower_trainer.scoring_towers import towers_of

FAST = ExplainConfig(item_blocks=4, word_blocks=2)


@pytest.fixture(scope="module")
def trained(trained_run: Path) -> Trained:
    return load_trained(trained_run)


@pytest.fixture(scope="module")
def embed(trained: Trained):
    """The item tower on texts, its encoder loaded once."""
    return towers_of(trained).embed_texts


@pytest.fixture(scope="module")
def people(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop's items, and people with histories of chosen lengths: u0, u1, u2, u4, u30."""
    folder = tmp_path_factory.mktemp("people")
    items = pq.read_table(shop / "items.parquet")
    pq.write_table(items, folder / "items.parquet")
    rows: list[tuple[str, str, int]] = [
        (f"u{length}", items["item_id"][(7 * place + length) % 90].as_py(), 1_700_000_000 + place)
        for length in (1, 2, 4, 30)
        for place in range(length)
    ]
    rows += [("everything", item, 1_700_000_000) for item in items["item_id"].to_pylist()]
    users, item_ids, seconds = zip(*rows, strict=True)
    pq.write_table(
        pa.table(
            {"user_id": users, "item_id": item_ids, "timestamp": pa.array(seconds, pa.int64())}
        ),
        folder / "interactions.parquet",
    )
    return folder


def history_of(trained: Trained, people: Path, user: str) -> list[int]:
    """Catalogue rows, most recent first; everyone's times rise and no item repeats."""
    log = pq.read_table(people / "interactions.parquet").to_pylist()
    items = [row["item_id"] for row in log if row["user_id"] == user]
    return [trained.catalogue.rows[item] for item in reversed(items)]


def adds_up(attribution: Attribution) -> bool:
    total = sum(player.value for player in attribution.players)
    return math.isclose(total, attribution.full - attribution.empty, abs_tol=1e-9)


def test_values_of_a_short_history_are_the_mean_over_all_orders(trained, people) -> None:
    result = explain(trained, people, "u4", item_id="i050", config=FAST)
    (item,) = result.items
    history = history_of(trained, people, "u4")
    target = trained.vectors[trained.catalogue.rows["i050"]]

    def score(kept: frozenset[int]) -> float:
        rows = [row for place, row in enumerate(history) if place in kept]
        return float(trained.embed_histories([np.array(rows, np.int64)])[0] @ target)

    expected = by_all_orders(score, 4)
    names = [player.name for player in item.history.players]
    assert names == [trained.item_ids[row] for row in history]
    found = [player.value for player in item.history.players]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert item.history.exact
    assert item.history.empty == pytest.approx(score(frozenset()), abs=1e-5)
    assert item.score == pytest.approx(score(frozenset(range(4))), abs=1e-5)


def test_every_view_adds_up_to_the_score(trained, people, capsys) -> None:
    result = explain(trained, people, "u30", k=3, config=FAST)
    assert "the 12 most recent of 30 items are read" in capsys.readouterr().err
    assert [item.rank for item in result.items] == [1, 2, 3]
    assert (result.history_items, result.items_read) == (30, trained.config.history_items)
    for item in result.items:
        assert not item.history.exact
        assert all(player.error > 0 for player in item.history.players)
        for view in (item.history, item.words, *item.history_words.values()):
            assert adds_up(view)
            assert view.full == pytest.approx(item.score, abs=1e-5)
        assert len(item.history_words) == FAST.word_items
        strongest = [player.name for player in item.history.by_influence()[: FAST.word_items]]
        assert list(item.history_words) == strongest


def by_all_orders(worth, players: int) -> np.ndarray:
    """The mean over all n! orders of what a player adds on joining; `worth` of a set of places."""
    known = {
        kept: worth(kept)
        for size in range(players + 1)
        for kept in map(frozenset, itertools.combinations(range(players), size))
    }
    values = np.zeros(players)
    for order in itertools.permutations(range(players)):
        there: frozenset[int] = frozenset()
        for place in order:
            values[place] += known[there | {place}] - known[there]
            there |= {place}
    return values / math.factorial(players)


def item_vector(trained: Trained, embed, row: int, kept: frozenset[int]) -> np.ndarray:
    """The vector of an item with some words; the place after the last word is its id."""
    words = str(trained.texts[row]).split()
    (vector,) = embed([" ".join(word for place, word in enumerate(words) if place in kept)])
    if len(words) in kept:
        vector = vector + trained.vectors[row] - embed([trained.texts[row]])[0]
        vector = vector / np.linalg.norm(vector)
    return vector


@pytest.mark.parametrize("kind", ["cold", "warm"])
def test_words_of_an_item_are_the_mean_over_all_orders(trained, people, embed, kind: str) -> None:
    row = int(np.flatnonzero(trained.warm == (kind == "warm"))[0])
    (item,) = explain(trained, people, "u4", item_id=trained.item_ids[row], config=FAST).items
    user = trained.embed_histories([np.array(history_of(trained, people, "u4"))])[0]
    words = str(trained.texts[row]).split()
    assert [player.name for player in item.words.players[: len(words)]] == words
    ids = [player for player in item.words.players if player.kind == "id"]
    assert [player.name for player in ids] == [trained.item_ids[row]] * (kind == "warm")
    expected = by_all_orders(
        lambda kept: float(item_vector(trained, embed, row, kept) @ user), len(words) + len(ids)
    )
    found = [player.value for player in item.words.players]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert item.words.full == pytest.approx(item.score, abs=1e-5)


def test_words_of_the_history_are_the_mean_over_all_orders(trained, people, embed) -> None:
    (item,) = explain(trained, people, "u2", item_id="i050", config=FAST).items
    history = history_of(trained, people, "u2")
    target = trained.vectors[trained.catalogue.rows["i050"]]
    for item_id, words in item.history_words.items():
        row = trained.catalogue.rows[item_id]

        def score(kept: frozenset[int], row: int = row) -> float:
            vectors = [
                item_vector(trained, embed, row, kept) if other == row else trained.vectors[other]
                for other in history
            ]
            items = np.zeros((1, trained.config.history_items, trained.config.dim), np.float32)
            items[0, : len(vectors)] = vectors
            mask = np.zeros(items.shape[:2], np.float32)
            mask[0, : len(vectors)] = 1
            return float(trained.user_tower({"items": items, "mask": mask}).numpy()[0] @ target)

        found = [player.value for player in words.players]
        np.testing.assert_allclose(found, by_all_orders(score, len(found)), atol=1e-5)
        assert words.empty == pytest.approx(score(frozenset()), abs=1e-5)


@pytest.mark.parametrize("user", ["u1", "nobody"])
def test_people_with_little_or_no_history(trained, people, user: str, capsys) -> None:
    result = explain(trained, people, user, k=2, config=FAST)
    length = 1 if user == "u1" else 0
    for item in result.items:
        assert len(item.history.players) == length == len(item.history_words)
        assert adds_up(item.history)
        assert np.isfinite(item.score)
    assert ("nothing is known of user 'nobody'" in capsys.readouterr().err) == (length == 0)


def test_an_item_that_was_taken_has_no_rank_and_an_explanation(trained, people) -> None:
    taken = trained.item_ids[history_of(trained, people, "u4")[0]]
    (item,) = explain(trained, people, "u4", item_id=taken, config=FAST).items
    assert item.rank is None
    assert adds_up(item.history)


def test_the_same_question_has_the_same_answer(trained, people) -> None:
    one, other = (explain(trained, people, "u30", k=1, config=FAST) for _ in range(2))
    assert one == other


@pytest.mark.parametrize(
    ("user", "options", "error", "message"),
    [
        ("u4", {"item_id": "i05O"}, UsageError, "did you mean 'i0"),
        ("u4", {"item_id": "?"}, UsageError, "give an item_id of its catalogue"),
        ("u4", {"k": 0}, UsageError, "k must be at least 1"),
        ("everything", {}, DataError, "nothing is left to recommend"),
    ],
)
def test_wrong_questions_are_named(trained, people, user, options, error, message) -> None:
    with pytest.raises(error, match=message.replace("?", r"\?")):
        explain(trained, people, user, **options)


@pytest.mark.parametrize("setting", ["exact_items", "exact_words", "item_blocks", "word_items"])
def test_wrong_settings_are_named(setting: str) -> None:
    with pytest.raises(ValueError, match=f"{setting} must be from"):
        ExplainConfig(**{setting: -1})


def test_the_command_prints_tables_and_writes_a_picture(
    trained_run, people, tmp_path: Path, capsys
) -> None:
    plot = tmp_path / "why.png"
    arguments = ["explain", "--run", str(trained_run), "--data", str(people), "--user", "u30"]
    main([*arguments, "--k", "1", "--plot", str(plot), "--set", "explain.item_blocks=2"])
    shown = capsys.readouterr().out
    assert "nothing known of them" in shown
    assert "4 other items" in shown  # of the twelve that this tower reads, eight have a line
    assert "by its words" in shown
    assert plot.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert not list(tmp_path.glob("*.tmp-*"))


def test_the_command_gives_json_and_uses_the_recorded_data(trained_run, capsys) -> None:
    main(["explain", "--run", str(trained_run), "--user", "u003", "--k", "1", "--json",
          "--set", "explain.item_blocks=2"])  # fmt: skip
    result = json.loads(capsys.readouterr().out)
    (item,) = result["items"]
    assert result["user_id"] == "u003"
    total = sum(player["value"] for player in item["history"]["players"])
    assert total == pytest.approx(item["history"]["full"] - item["history"]["empty"], abs=1e-9)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--plot", "why.gif"], "--plot writes .png, .svg, .pdf, got 'why.gif'"),
        (["--set", "explain.item_block=3"], "did you mean 'item_blocks'"),
        (["--data", "/no/such/data"], "say where it is by --data"),
    ],
)
def test_wrong_use_exits_with_2(trained_run, capsys, more: list[str], message: str) -> None:
    with pytest.raises(SystemExit) as end:
        main(["explain", "--run", str(trained_run), "--user", "u003", *more])
    assert end.value.code == 2
    assert message in capsys.readouterr().err
