"""Searches while items change: each sees one state of the index, and none fails."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest

from dualtower.errors import UsageError
from dualtower_clients.index import ItemIndex
from dualtower_clients.index.shared_lock import SharedLock


@pytest.fixture
def busy_switching():
    """Threads take turns every few steps."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("busy_switching")
def test_searches_see_one_state_while_items_come_and_go(changing, catalogue):
    """One item is replaced over and over, and is the best at any time; others come and go."""
    query = np.full((1, 16), 10, np.float32)
    changing.add(["best"], query, categories=["0"])
    stop = threading.Event()
    failures: list[BaseException] = []

    def search() -> None:
        try:
            while not stop.is_set():
                (found,) = changing.search(query, 12)
                assert len(found.item_ids) == len(set(found.item_ids)) == 12
                assert found.item_ids[0] == "best"
                assert "i9" not in found.item_ids
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    for turn in range(12):
        changing.add([f"gone{turn}", f"kept{turn}"], query[[0, 0]] / 2)
        changing.add(["best"], query, categories=[str(turn)], replace=True)
        changing.remove([f"gone{turn}"])
    stop.set()
    for thread in threads:
        thread.join(30)
    assert not failures
    assert len(changing) == 540 + 1 + 12


@pytest.mark.usefixtures("busy_switching")
def test_writers_do_not_lose_each_others_items(changing):
    def add(writer: int) -> None:
        for turn in range(5):
            changing.add([f"w{writer}-{turn}"], np.eye(1, 16, k=writer, dtype=np.float32))

    threads = [threading.Thread(target=add, args=(writer,)) for writer in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(changing) == 540 + 30
    best = changing.search(
        np.eye(6, 16, dtype=np.float32), 1, filter=lambda item_id, _: "-" in item_id
    )
    assert [one.item_ids[0][:2] for one in best] == [f"w{writer}" for writer in range(6)]


@pytest.mark.usefixtures("busy_switching")
def test_one_of_many_adds_an_id(changing):
    refused: list[UsageError] = []

    def add() -> None:
        try:
            changing.add(["new"], np.eye(1, 16, dtype=np.float32))
        except UsageError as error:
            refused.append(error)

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(refused) == 7
    assert len(changing) == 541


@pytest.mark.parametrize("name", ["usearch", "faiss"])
def test_an_engine_is_built_anew_when_most_of_its_vectors_are_nobodys(catalogue, tmp_path, name):
    index = ItemIndex.open(catalogue.path, name)
    index.save(tmp_path / "before")
    item_ids = [item_id for item_id in catalogue.item_ids if item_id in index]
    rows = [catalogue.rows[item_id] for item_id in item_ids]
    for turn in range(4):
        vectors = np.roll(catalogue.vectors, turn, axis=1)
        index.add(item_ids, vectors[rows], replace=True)
    assert len(index) == 540
    best = index.search(vectors[rows[:50]], 1)
    assert [one.item_ids[0] for one in best] == item_ids[:50]
    index.save(tmp_path / "after")
    before, after = ((tmp_path / file).stat().st_size for file in ("before", "after"))
    assert after < 1.2 * before


def test_readers_share_and_a_writer_is_alone():
    lock = SharedLock()
    inside: list[str] = []
    entered, leave = threading.Barrier(3), threading.Event()

    def read() -> None:
        with lock.shared():
            entered.wait(10)  # both are inside at once
            leave.wait(10)
            inside.append("reader")

    def write() -> None:
        with lock.alone():
            inside.append("writer")

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    entered.wait(10)
    writer = threading.Thread(target=write)
    writer.start()
    assert inside == []
    leave.set()
    for thread in (*readers, writer):
        thread.join(10)
    assert inside == ["reader", "reader", "writer"]
