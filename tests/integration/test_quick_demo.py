"""The whole road on real data: killed in the middle of its steps, then walked to its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from html.parser import HTMLParser
from multiprocessing.context import BaseContext
from pathlib import Path

import pytest

from dualtower import Bundle, verify
from dualtower_export.config import DEFAULT_VARIANTS

pytestmark = [pytest.mark.slow, pytest.mark.network]

# one that writes a folder, and one that has processes; the steps' own tests kill each of them
KILLED_IN = {"3 train": 0.3, "8 measure": 1.5}


def command(work: Path, arguments: tuple[str, ...], said: Path, answer: Path) -> None:
    """`dualtower demo`; what it starts can be known by its environment."""
    os.environ["DUALTOWER_DEMO_TEST"] = str(work)
    for stream, path in ((1, answer), (2, said)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream)
    from dualtower.cli import main

    main(["demo", "--quick", "--out", str(work), "--engine", "embedded", *arguments])


class Process:
    """A demo in a fork of its own, with what it said so far."""

    def __init__(self, forks: BaseContext, work: Path, place: Path, *arguments: str) -> None:
        self._said, self._answer = place / "said", place / "answer"
        self._said.touch()
        self._process = forks.Process(  # type: ignore[attr-defined]
            target=command, args=(work, arguments, self._said, self._answer)
        )
        self._process.start()

    @property
    def said(self) -> str:
        return self._said.read_text(encoding="utf-8", errors="replace")

    @property
    def answer(self) -> str:
        return self._answer.read_text(encoding="utf-8")

    def wait_for(self, text: str) -> None:
        while text not in self.said:
            assert self._process.exitcode is None, self.said[-4000:]
            time.sleep(0.01)

    def kill(self) -> None:
        assert self._process.exitcode is None, self.said[-4000:]
        self._process.kill()
        assert self.end() == -signal.SIGKILL

    def end(self) -> int:
        self._process.join(600)
        return self._process.exitcode


def left_by(work: Path) -> list[str]:
    """Command lines of processes that still run for the demo in `work`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if f"DUALTOWER_DEMO_TEST={work}".encode() in environment:
            found.append(line)
    return found


@pytest.fixture(scope="module")
def demo(forks: BaseContext, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Process]:
    """Starts a demo in a folder."""

    def start(work: Path, *arguments: str) -> Process:
        return Process(forks, work, tmp_path_factory.mktemp("demo-said"), *arguments)

    return start


@pytest.fixture(scope="module")
def work(demo: Callable[..., Process], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a demo was killed in some of its steps and then ended well."""
    work = tmp_path_factory.mktemp("demo") / "work"
    for name, depth_s in KILLED_IN.items():
        process = demo(work)
        process.wait_for(f"━━ {name}")
        time.sleep(depth_s)
        process.kill()
        deadline = time.monotonic() + 60  # who asks a server that is gone gives up by himself
        while left := left_by(work):
            assert time.monotonic() < deadline, f"after a kill in step {name}: {left}"
            time.sleep(0.05)
    last = demo(work, "--json")
    assert last.end() == 0, last.said[-4000:]
    assert json.loads(last.answer) == json.loads((work / "demo.json").read_text())
    return work


def read(work: Path, name: str) -> dict:
    return json.loads((work / name).read_text(encoding="utf-8"))


def test_nothing_half_written_is_left(work: Path) -> None:
    assert [path.name for path in work.rglob("*.tmp-*")] == []
    assert verify(work / "bundle") == []


def test_the_numbers_are_where_this_seed_puts_them(work: Path) -> None:
    evaluation = read(work, "run/evaluation.json")
    warm = {row["method"]: row["recall_at_20"]["value"] for row in evaluation["warm"]["methods"]}
    assert 400 < evaluation["warm"]["users"] < 500
    assert 0.065 < warm["dualtower"] < 0.105
    assert warm["dualtower"] > warm["popularity"] > 0.05
    assert warm["dualtower"] > 2 * warm["tfidf"]
    cold = evaluation["cold"]
    ours = next(row for row in cold["methods"] if row["method"] == "dualtower")["recall_at_20"]
    chance = cold["random"]["recall_at_20"]["value"]
    assert ours["value"] - 2 * ours["se"] > chance


def test_the_bundle_is_gated_and_says_what_it_is(work: Path) -> None:
    bundle = Bundle.open(work / "bundle")
    gates = bundle.manifest["gates"]
    assert len(gates) >= 15
    assert all(gate["passed"] for gate in gates)
    variants = {(one["tower"], one["variant"]): one for one in bundle.manifest["variants"]}
    assert len(variants) == 2 * len(DEFAULT_VARIANTS)
    for one in variants.values():
        if one["verdict"] == "ship":
            assert (bundle.path / one["file"]).is_file()
            assert one["cosine_mean"] > 0.98
    int8 = variants["item_tower", "dynamic_int8"]["size_bytes"]
    assert int8 < 0.4 * variants["item_tower", "float32"]["size_bytes"]
    assert (bundle.path / "model_card.md").read_text().startswith("#")


def test_real_households_were_asked_for_by_a_client_without_tensorflow(work: Path) -> None:
    asked = read(work, "demo.json")["asked"]
    assert asked["tensorflow_loaded"] is False
    assert len(asked["households"]) == 3
    for household in asked["households"]:
        items = household["recommended"]
        assert len({item["item_id"] for item in items}) == 10
        scores = [item["score"] for item in items]
        assert scores == sorted(scores, reverse=True)
        assert not {item["text"] for item in items} & set(household["bought"])


def test_server_and_edge_were_measured(work: Path) -> None:
    bench = read(work, "bench.json")
    drivers = {row["driver"] for row in bench["points"]}
    assert drivers == {"grpc", "saved_model", "litert"}
    assert sum(sum(row["errors"].values()) for row in bench["points"]) == 0
    assert bench["bundle"]["fingerprint"] == Bundle.open(work / "bundle").fingerprint


def test_the_report_is_one_page_that_loads_nothing(work: Path) -> None:
    loads: list[str] = []

    class Loads(HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            loads.extend(
                value or ""
                for name, value in attributes
                if name in ("src", "href", "srcset", "data") and tag != "a"
            )

    page = (work / "report.html").read_text(encoding="utf-8")
    Loads().feed(page)
    assert [load for load in loads if not load.startswith(("#", "data:"))] == []
    assert page.count("<svg") >= 4


@pytest.fixture(scope="module")
def address(work: Path):
    from dualtower_serving import start

    with start(work / "bundle", engine="embedded", port=0) as server:
        yield server.address


def example(name: str, *arguments: str) -> list[str]:
    path = Path(__file__).resolve().parents[2] / "examples" / name
    done = subprocess.run(
        [sys.executable, str(path), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_client_example_runs(address: str) -> None:
    lines = example("ask_server.py", address)
    assert len(lines) == 11
    assert lines[-1].startswith("bundle ")


def test_a_phone_recommends_what_the_server_does(work: Path, address: str) -> None:
    """The example reads float16 vectors and a float32 tower: ties may swap, little else."""
    from dualtower_clients import Recommender

    on_device = example("on_device.py", str(work / "bundle" / "edge"), "float32")
    texts = read_catalogue(work)
    history = ["organic oat milk, barista edition", *texts[:3]]
    with Recommender(address) as recommender:
        served = recommender.recommend(history, k=10)
    assert len(set(on_device) & set(served.item_ids)) >= 9


def read_catalogue(work: Path) -> list[str]:
    import pyarrow.parquet as pq

    return pq.read_table(work / "bundle" / "index" / "catalogue.parquet")["text"].to_pylist()


def test_a_second_walk_reuses_everything_and_says_so(
    work: Path, demo: Callable[..., Process]
) -> None:
    before = read(work, "demo.json")
    again = demo(work, "--json")
    assert again.end() == 0, again.said[-4000:]
    said = again.said
    assert said.count("reused") >= 2
    assert "already the bundle" in said
    after = read(work, "demo.json")
    assert after["fingerprint"] == before["fingerprint"]
    assert after["timings_s"]["3 train"] < 15
