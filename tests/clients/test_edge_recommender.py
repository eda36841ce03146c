"""Recommendations without a server, beside those of a server with the same bundle."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from recommenders import BlockingRecommender

from dualtower.bundle import Bundle
from dualtower.errors import BundleError, BundleMismatch, UsageError
from dualtower_clients import AsyncRecommender, CallCancelled, DeadlineExceeded, Recommender
from dualtower_serving import start

EXPORT = Path(__file__).parent.parent / "export" / "conftest.py"
HISTORIES = [[], ["item-001"], ["item-009", "nobody", "item-003", "item-001"]]
TEXTS = ["tea", "", "Weiße ROSE", "sweet café juice, extra"]

pytestmark = pytest.mark.slow  # an export, and a server that loads it


@pytest.fixture(scope="module")
def bundle(made_once) -> Bundle:
    """The bundle of the export's own tests, made once for all of them."""
    spec = importlib.util.spec_from_file_location("export_fixtures", EXPORT)
    fixtures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fixtures)

    def export(folder: Path) -> None:
        from dualtower.config import load_section
        from dualtower_export import ExportConfig, export_bundle

        run = made_once("trained", fixtures.make_run) / "run"
        config = load_section("export", ExportConfig, overrides=fixtures.SETTINGS)
        export_bundle(run, folder / "bundle", config)

    return Bundle.open(made_once("exported", export) / "bundle")


@pytest.fixture(scope="module")
def server(bundle):
    with (
        start(bundle.path, engine="embedded") as running,
        Recommender(running.address) as client,
    ):
        yield client


def threads(path: Path, **settings) -> Recommender:
    return Recommender.from_edge(path, **settings)


def tasks(path: Path, **settings) -> BlockingRecommender:
    return BlockingRecommender(AsyncRecommender.from_edge(path, **settings))


KINDS = pytest.mark.parametrize("opened", [threads, tasks], ids=lambda kind: kind.__name__)


@pytest.fixture(scope="module", params=[threads, tasks], ids=lambda kind: kind.__name__)
def edge(bundle, request):
    """By the float32 towers: what is left is the float16 of the catalogue."""
    with request.param(bundle.path, variant="float32") as client:
        yield client


@pytest.fixture(scope="module")
def texts(bundle) -> dict[str, str]:
    import pyarrow.parquet as pq

    rows = pq.read_table(bundle.catalogue_path, columns=["item_id", "text"]).to_pylist()
    return {one["item_id"]: one["text"] for one in rows}


def same_list(ours, theirs, *, score_error: float = 2e-3) -> None:
    """The same items by the same scores; items that score alike may change places."""
    assert len(ours.item_ids) == len(theirs.item_ids)
    np.testing.assert_allclose(ours.scores, theirs.scores, atol=score_error)
    wanted = dict(zip(theirs.item_ids, theirs.scores, strict=True))
    last = float(theirs.scores[-1])
    for item_id, score in zip(ours.item_ids, ours.scores, strict=True):
        assert abs(wanted.get(item_id, last) - score) <= score_error, item_id


def test_it_says_of_itself_what_the_server_says(edge, server):
    ours, theirs = edge.describe(), server.describe()
    assert ours == theirs
    assert edge.status() == server.status()


@pytest.mark.parametrize("history", HISTORIES, ids=len)
def test_lists_for_ids_are_those_of_the_server(edge, server, history):
    k = server.describe()["recommender"].k_max
    ours, theirs = (one.recommend_by_ids(history, k=k) for one in (edge, server))
    same_list(ours, theirs)
    assert (ours.version, ours.fingerprint) == (theirs.version, theirs.fingerprint)
    assert ours.scores.dtype == np.float32
    assert ours.elapsed_ms > 0
    excluded = list(theirs.item_ids[:3])
    same_list(*(one.recommend_by_ids(history, k=10, exclude=excluded) for one in (edge, server)))


def test_lists_for_texts_are_those_of_the_server(edge, server, texts):
    """Texts of the catalogue, one that two items share, and what no item has."""
    known = list(texts.values())
    for history in ([known[3]], [known[20], "black tea, new", known[7]], ["", "nothing like it"]):
        ours, theirs = (one.recommend(history, k=15) for one in (edge, server))
        same_list(ours, theirs)
    assert not {"item-003", "item-007"} & set(edge.recommend([known[3]], k=20).item_ids)


def test_histories_longer_than_the_tower_reads(edge, server, texts):
    ids = list(texts)[:20]
    same_list(*(one.recommend_by_ids(ids, k=20) for one in (edge, server)))
    assert not set(edge.recommend_by_ids(ids, k=20).item_ids) & set(ids)
    long = list(texts.values())[:20]
    same_list(*(one.recommend(long, k=20) for one in (edge, server)))


def test_a_batch_is_its_rows(edge):
    batch = edge.recommend_batch_by_ids(HISTORIES, k=5, exclude=[[], ["item-002"], []])
    for history, exclude, one in zip(HISTORIES, [[], ["item-002"], []], batch, strict=True):
        alone = edge.recommend_by_ids(history, k=5, exclude=exclude)
        assert alone.item_ids == one.item_ids
    assert edge.recommend_batch([], k=5) == []


def test_embeddings_are_those_of_the_server(edge, server, texts):
    items = [one.embed_items(TEXTS) for one in (edge, server)]
    np.testing.assert_allclose(items[0].vectors, items[1].vectors, atol=1e-4)
    users = [one.embed_users_by_ids(HISTORIES) for one in (edge, server)]
    np.testing.assert_allclose(users[0].vectors, users[1].vectors, atol=2e-3)
    by_text = [[list(texts.values())[9], "new"], []]
    users = [one.embed_users(by_text) for one in (edge, server)]
    np.testing.assert_allclose(users[0].vectors, users[1].vectors, atol=2e-3)
    assert edge.embed_items([]).vectors.shape == server.embed_items([]).vectors.shape


@pytest.mark.parametrize("variant", [None, "float16", "dynamic_int8"])
def test_other_formats_stay_within_what_their_gate_measured(bundle, server, variant):
    with Recommender.from_edge(bundle.path, variant=variant) as client:
        ours = client.embed_items(TEXTS[:1] + TEXTS[2:]).vectors
        theirs = server.embed_items(TEXTS[:1] + TEXTS[2:]).vectors
        worst = min(
            one["cosine_min"]
            for one in bundle.manifest["variants"]
            if one["tower"] == "item_tower" and variant in (None, one["variant"])
        )
        assert (ours * theirs).sum(axis=1).min() >= worst - 0.02
        kept = [
            len(set(client.recommend_by_ids(history, k=10).item_ids)
                & set(server.recommend_by_ids(history, k=10).item_ids))
            for history in HISTORIES
        ]  # fmt: skip
        assert np.mean(kept) >= 8


def test_wrong_use_is_refused_as_by_a_server(edge, server):
    for client in (edge, server):
        with pytest.raises(UsageError, match="between 1 and 20, got 21"):
            client.recommend_by_ids([], k=21)
        with pytest.raises(UsageError, match="list of texts"):
            client.embed_items("one text")
        with pytest.raises(UsageError, match="1 lists for 2 histories"):
            client.recommend_batch_by_ids([[], []], k=1, exclude=[[]])
        with pytest.raises(DeadlineExceeded):
            client.recommend_by_ids([], k=1, timeout_s=0)


@pytest.mark.parametrize(
    ("name", "value"),
    [("variant", 5), ("threads", 0), ("threads", "2"), ("timeout_s", None), ("bundle", None)],
)
@KINDS
def test_settings_that_are_none_are_refused(bundle, opened, name, value):
    settings = {"bundle": bundle.path, name: value}
    with pytest.raises(UsageError, match=name):
        opened(settings.pop("bundle"), **settings)


@pytest.mark.parametrize("text", ["a\0b\0", "x" * 1_000_000, "\u2028\t", "é 茶 🍵"], ids=len)
def test_odd_texts_are_answered(edge, text):
    assert edge.embed_items([text, text.encode()]).vectors.shape[0] == 2
    assert len(edge.recommend([text], k=2).item_ids) == 2
    assert edge.recommend_by_ids([text], k=2, exclude={text}).item_ids


def test_a_pinned_one_is_the_same(edge):
    with edge.pinned() as pair:
        assert pair.recommend_by_ids([], k=3).item_ids == edge.recommend_by_ids([], k=3).item_ids


def test_threads_share_one(bundle):
    with Recommender.from_edge(bundle.path) as edge:
        _share(edge)


def _share(edge: Recommender) -> None:
    want = {item: edge.recommend_by_ids([item], k=5).item_ids for item in ("item-001", "item-002")}
    wrong: list[object] = []

    def ask(item: str) -> None:
        for _ in range(20):
            if (got := edge.recommend_by_ids([item], k=5).item_ids) != want[item]:
                wrong.append((item, got))

    threads = [threading.Thread(target=ask, args=(item,)) for item in [*want] * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


MANY = [f"tea number {number}" for number in range(4000)]  # as many take a good part of a second


@pytest.fixture
def began():
    """The threads of clients that were opened since; others of this process are left out."""
    before = set(threading.enumerate())

    def since() -> int:
        now = set(threading.enumerate()) - before
        return sum(one.name.startswith("dualtower-edge") for one in now)

    return since


def test_the_asynchronous_one_answers_as_the_other_does(bundle):
    with threads(bundle.path) as one, tasks(bundle.path) as other:
        assert one.describe() == other.describe()
        assert one.status() == other.status()
        for history in HISTORIES:
            ours, theirs = (client.recommend_by_ids(history, k=20) for client in (one, other))
            assert ours.item_ids == theirs.item_ids
            np.testing.assert_array_equal(ours.scores, theirs.scores)
            assert (ours.version, ours.fingerprint) == (theirs.version, theirs.fingerprint)
        ours, theirs = (client.recommend(["tea", "rye"], k=20) for client in (one, other))
        assert ours.item_ids == theirs.item_ids
        for ask in ("embed_items", "embed_users"):
            given = TEXTS if ask == "embed_items" else [TEXTS, []]
            vectors = [getattr(client, ask)(given).vectors for client in (one, other)]
            np.testing.assert_array_equal(*vectors)


def test_the_event_loop_goes_on_while_it_computes(bundle):
    async def run() -> int:
        async with AsyncRecommender.from_edge(bundle.path) as client:
            embedding = asyncio.ensure_future(client.embed_items(MANY))
            turns = 0
            while not embedding.done():
                await asyncio.sleep(0)
                turns += 1
            assert (await embedding).vectors.shape[0] == len(MANY)
            return turns

    assert asyncio.run(run()) > 100  # of a loop that is blocked: two or three


def test_fifty_tasks_at_a_time_get_their_own_answers(bundle, began):
    ids = [f"item-{number:03d}" for number in range(50)]
    with Recommender.from_edge(bundle.path) as client:
        wanted = [client.recommend_by_ids([one], k=5).item_ids for one in ids]

    async def run() -> list[tuple[str, ...]]:
        async with AsyncRecommender.from_edge(bundle.path) as client:
            found = await asyncio.gather(*(client.recommend_by_ids([one], k=5) for one in ids))
            assert began() == 1
        return [one.item_ids for one in found]

    assert asyncio.run(run()) == wanted


def test_tasks_that_are_cancelled_leave_nothing_behind(bundle):
    async def run() -> None:
        async with AsyncRecommender.from_edge(bundle.path) as client:
            runs = asyncio.ensure_future(client.embed_items(MANY))
            waits = [asyncio.ensure_future(client.embed_items(MANY)) for _ in range(200)]
            await asyncio.sleep(0.05)
            for task in (runs, *waits):
                task.cancel()
            found = await asyncio.gather(runs, *waits, return_exceptions=True)
            assert {type(one) for one in found} == {asyncio.CancelledError}
            # only the one that ran is waited for: two hundred would take longer than the deadline
            assert (await client.recommend_by_ids(["item-001"], k=5)).item_ids
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())


def test_a_deadline_ends_a_call_that_waits_and_one_that_computes(bundle):
    async def run() -> None:
        async with AsyncRecommender.from_edge(bundle.path) as client:
            runs = asyncio.ensure_future(client.embed_items(MANY))
            await asyncio.sleep(0)  # it goes first
            with pytest.raises(DeadlineExceeded, match="calls take turns"):
                await client.recommend_by_ids([], k=1, timeout_s=0.01)
            assert (await runs).vectors.shape[0] == len(MANY)
            with pytest.raises(DeadlineExceeded, match=r"within 0\.0\d* s"):
                await client.embed_items(MANY, timeout_s=0.01)
            assert (await client.recommend_by_ids([], k=1)).item_ids

    asyncio.run(run())


def test_calls_end_when_the_client_closes_and_so_does_its_thread(bundle, began):
    async def run() -> None:
        client = AsyncRecommender.from_edge(bundle.path)
        await client.connect()
        calls = [asyncio.ensure_future(client.embed_items(MANY)) for _ in range(3)]
        await asyncio.sleep(0.01)
        await client.close()
        found = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(one) for one in found} == {CallCancelled}
        await client.close()
        while began():  # it ends what it has begun
            await asyncio.sleep(0.01)

    asyncio.run(run())


def test_a_loop_that_ends_while_it_computes_is_no_failure(bundle, began):
    async def run() -> None:
        client = AsyncRecommender.from_edge(bundle.path)
        await client.connect()
        left = asyncio.ensure_future(client.embed_items(MANY))
        await asyncio.sleep(0.01)
        assert not left.done()

    asyncio.run(run())
    deadline = time.monotonic() + 20
    while began():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_asynchronous_one_belongs_to_the_loop_of_its_first_call(bundle):
    with tasks(bundle.path) as client, pytest.raises(UsageError, match="another event loop"):
        asyncio.run(client._client.recommend_by_ids([], k=1))


@KINDS
def test_a_client_that_is_closed_says_so_and_others_of_its_files_go_on(bundle, opened):
    with opened(bundle.path) as client:
        pair = client.pinned()
        assert pair.recommend_by_ids([], k=3).item_ids
        pair.close()
        for ask in (pair.describe, pair.status, lambda: pair.recommend_by_ids([], k=3)):
            with pytest.raises(CallCancelled, match="is closed; open a new one"):
                ask()
        assert client.recommend_by_ids([], k=3).item_ids
        pair.close()


@KINDS
def test_a_bundle_that_is_not_whole_is_named(bundle, tmp_path, opened):
    with pytest.raises(BundleError, match="is no bundle"):
        opened(tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(bundle.path, copy, ignore=shutil.ignore_patterns("serving"))
    facts = json.loads((copy / "edge" / "edge.json").read_text())
    with pytest.raises(BundleError, match="int3"):
        opened(copy, variant="int3")
    (copy / "edge" / "edge.json").write_text(json.dumps({**facts, "fingerprint": "0" * 64}))
    with pytest.raises(BundleMismatch, match="0000"):
        opened(copy)
    (copy / "edge" / "item_ids.json").unlink()
    with pytest.raises(BundleError, match="no whole `edge` folder"):
        opened(copy)


def test_neither_tensorflow_nor_a_connection_is_needed(bundle):
    code = (
        "import sys\n"
        "from dualtower_clients import Recommender\n"
        f"with Recommender.from_edge({str(bundle.path)!r}) as client:\n"
        "    assert len(client.recommend_by_ids(['item-001'], k=5).item_ids) == 5\n"
        "assert not {'tensorflow', 'tf_keras', 'pyarrow', 'dualtower_export'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("missing", "use", "said"),
    [
        ("ai_edge_litert", "Recommender.from_edge(PATH)", "pip install 'dualtower[edge]'"),
        ("tokenizers", "Recommender.from_edge(PATH)", "pip install 'dualtower[edge]'"),
        ("pyarrow", "Recommender.from_edge(PATH).recommend(['tea'], k=1)", "pip install pyarrow"),
    ],
)
def test_what_is_not_installed_is_named(bundle, missing, use, said):
    code = (
        "import sys\n"
        f"sys.modules[{missing!r}] = None\n"
        "from dualtower.errors import UnavailableError\n"
        "from dualtower_clients import Recommender\n"
        f"PATH = {str(bundle.path)!r}\n"
        f"try:\n    {use}\nexcept UnavailableError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert said in done.stdout
