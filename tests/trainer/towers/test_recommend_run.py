"""Recommendations of a real small training for people of whom little or nothing is known."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualtower.errors import DataError
from dualtower_trainer.checkpoint import Trained, load_trained
from dualtower_trainer.recommend_offline import recommend_offline
from dualtower_trainer.scoring_towers import towers_of

HISTORIES = {
    "one": ["i004"],
    "two": ["i031", "i004"],
    "same-thrice": ["i004", "i004", "i004"],
    "only-strange": ["not-of-the-run"],
    "strange-and-one": ["i004", "not-of-the-run"],
    "all-but-two": [f"i{row:03d}" for row in range(90) if row not in (4, 77)],
    "all": [f"i{row:03d}" for row in range(90)],
    "user ü 茶": ["i060"],
}


@pytest.fixture(scope="module")
def trained(trained_run: Path) -> Trained:
    return load_trained(trained_run)


@pytest.fixture(scope="module")
def people(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data that came after the training: one item more, and HISTORIES, the last id most recent."""
    folder = tmp_path_factory.mktemp("later")
    items = pq.read_table(shop / "items.parquet").select(["item_id", "text"])
    more = pa.table({"item_id": ["not-of-the-run"], "text": ["green tea 99"]})
    pq.write_table(pa.concat_tables([items, more]), folder / "items.parquet")
    rows = [
        (user, item, 1_700_000_000 + place)
        for user, taken in HISTORIES.items()
        for place, item in enumerate(taken)
    ]
    users, item_ids, seconds = zip(*rows, strict=True)
    table = {"user_id": users, "item_id": item_ids, "timestamp": pa.array(seconds, pa.int64())}
    pq.write_table(pa.table(table), folder / "interactions.parquet")
    return folder


@pytest.fixture
def lists_for(trained: Trained, people: Path, tmp_path: Path):
    """Lists by user id, and the summary."""

    def ask(users: list[str], *, k: int = 100, **files: list[str]):
        paths = {}
        for name, lines in {"users": users, **files}.items():
            paths[name] = tmp_path / f"{name}{'.csv' if name == 'items' else '.txt'}"
            paths[name].write_text("\n".join(lines), encoding="utf-8")
        out = tmp_path / "out.jsonl"
        summary = recommend_offline(towers_of(trained), data=people, out=out, k=k, **paths)
        rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
        assert [row["user_id"] for row in rows] == users
        return {row["user_id"]: row["items"] for row in rows}, summary

    return ask


def test_lists_are_full_whatever_is_known(lists_for) -> None:
    users = ["nobody", *HISTORIES]
    lists, summary = lists_for(users, k=20)
    for user in users:
        taken = set(HISTORIES.get(user, []))
        left = 90 - len(taken - {"not-of-the-run"})
        assert len(lists[user]) == min(20, left), user
        assert len(set(lists[user])) == len(lists[user])
        assert not set(lists[user]) & taken
    assert sorted(lists["all-but-two"]) == ["i004", "i077"]
    assert lists["all"] == []
    assert summary["users_without_history"] == 1
    assert summary["short_lists"] == 2


def test_nothing_is_ever_nan(trained: Trained) -> None:
    rows = [[], [4], [31, 4], list(range(90)), [4] * 3]
    users = trained.embed_histories([np.array(history, np.int64) for history in rows])
    np.testing.assert_allclose(np.linalg.norm(users, axis=1), 1, atol=1e-5)
    assert np.isfinite(users @ trained.vectors.T).all()


def test_who_took_nothing_that_the_run_knows_gets_the_fallback(lists_for) -> None:
    lists, _ = lists_for(["nobody", "only-strange"])
    assert lists["nobody"] == lists["only-strange"]
    assert len(lists["nobody"]) == 90


def test_repeats_and_strange_items_change_nothing(lists_for) -> None:
    lists, _ = lists_for(["one", "same-thrice", "strange-and-one"])
    assert lists["one"] == lists["same-thrice"] == lists["strange-and-one"]


def test_one_item_is_enough_to_know_a_customer(lists_for, trained: Trained) -> None:
    """i004 is a tea, i060 a wine: most of the first ten are of their kind."""
    lists, _ = lists_for(["one", "user ü 茶"])
    for user, kind in (("one", "tea"), ("user ü 茶", "wine")):
        texts = [trained.texts[trained.catalogue.rows[item]] for item in lists[user][:10]]
        assert sum(kind in text.split() for text in texts) >= 7, (user, texts)


def test_the_first_of_two_runs_of_a_list_is_its_beginning(lists_for) -> None:
    long, _ = lists_for(["one", "two"], k=50)
    short, _ = lists_for(["one", "two"], k=7)
    assert {user: items[:7] for user, items in long.items()} == short


def test_an_item_that_a_user_took_is_removed_even_when_only_its_text_is_known(lists_for) -> None:
    new = ["item_id,text", "not-of-the-run,green tea 99", "new,green tea 98"]
    lists, summary = lists_for(
        ["one", "strange-and-one"], items=new, candidates=["new", "not-of-the-run", "i004", "i060"]
    )
    assert sorted(lists["one"]) == ["i060", "new", "not-of-the-run"]
    assert sorted(lists["strange-and-one"]) == ["i060", "new"]
    assert summary["candidates_by_text"] == 2


def test_items_that_nobody_took_are_ranked_by_their_text(lists_for, trained: Trained) -> None:
    cold = [str(item) for item in trained.item_ids[~trained.warm]]
    lists, _ = lists_for(["one", "nobody"], candidates=cold)
    assert sorted(lists["one"]) == sorted(lists["nobody"]) == sorted(cold)
    history = trained.embed_histories([np.array([trained.catalogue.rows["i004"]])])[0]
    vectors = towers_of(trained).embed_texts(
        [trained.texts[trained.catalogue.rows[c]] for c in cold]
    )
    scores = dict(zip(cold, vectors @ history, strict=True))
    found = [scores[item] for item in lists["one"]]
    assert all(one >= other - 1e-5 for one, other in itertools.pairwise(found))


def test_broken_vectors_are_named(trained: Trained, people: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    (tmp_path / "users.txt").write_text("one")
    vectors = trained.vectors.copy()
    vectors[50] = np.nan
    broken = replace(towers_of(trained), vectors=vectors)
    with pytest.raises(DataError, match="no numbers; train the run again"):
        recommend_offline(
            broken, data=people, users=tmp_path / "users.txt", out=tmp_path / "out.jsonl"
        )
    assert not (tmp_path / "out.jsonl").exists()
