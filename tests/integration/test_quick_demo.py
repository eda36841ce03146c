"""The whole road on real data: killed in the middle of every step, then walked to its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest

from dualtower import Bundle, verify
from dualtower_export.config import DEFAULT_VARIANTS

pytestmark = [pytest.mark.slow, pytest.mark.network]

STEPS = ("1 data", "2 encoder", "3 train", "4 evaluate", "5 export", "6 serve", "7 ask",
         "8 measure", "9 report")  # fmt: skip
COMMAND = [sys.executable, "-c", "from dualtower.cli import main; main()", "demo", "--quick"]


class Process:
    """A demo in a process of its own, with what it said so far."""

    def __init__(self, work: Path, *arguments: str) -> None:
        environment = {**os.environ, "DUALTOWER_DEMO_TEST": str(work)}
        self._process = subprocess.Popen(
            [*COMMAND, "--out", str(work), "--engine", "embedded", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        self.said: list[str] = []
        self.answer: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, args=(stream, lines))
            for stream, lines in (
                (self._process.stderr, self.said), (self._process.stdout, self.answer),
            )
        ]  # fmt: skip
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(stream, lines: list[str]) -> None:
        lines.extend(stream) if stream is None else [lines.append(line) for line in stream]

    def wait_for(self, text: str) -> None:
        while not any(text in line for line in list(self.said)):
            assert self._process.poll() is None, "".join(self.said[-40:])
            time.sleep(0.01)

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self.end()

    def end(self) -> int:
        code = self._process.wait(timeout=300)
        for reader in self._readers:
            reader.join(timeout=60)
        for stream in (self._process.stdout, self._process.stderr):
            stream.close()
        return code


def servers(work: Path) -> list[str]:
    """Command lines of processes that still run for the demo in `work`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if f"DUALTOWER_DEMO_TEST={work}".encode() in environment:
            found.append(command)
    return found


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a demo was killed in each of its steps and then ended well."""
    work = tmp_path_factory.mktemp("demo") / "work"
    for place, name in enumerate(STEPS):
        process = Process(work)
        process.wait_for(f"━━ {name}")
        time.sleep(0.1 * place)  # at different depths of the steps
        process.kill()
        deadline = time.monotonic() + 60  # who asks a server that is gone gives up by himself
        while left := servers(work):
            assert time.monotonic() < deadline, f"after a kill in step {name}: {left}"
            time.sleep(0.05)
    last = Process(work, "--json")
    assert last.end() == 0, "".join(last.said[-40:])
    result = json.loads("".join(last.answer))
    assert result == json.loads((work / "demo.json").read_text())
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
    parts = {row["part"] for row in bench["points"]}
    assert parts == {"server", "in_process", "edge"}
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


def test_a_second_walk_reuses_everything_and_says_so(work: Path) -> None:
    before = read(work, "demo.json")
    again = Process(work, "--json")
    assert again.end() == 0
    said = "".join(again.said)
    assert said.count("reused") >= 2
    assert "already the bundle" in said
    after = read(work, "demo.json")
    assert after["fingerprint"] == before["fingerprint"]
    assert after["timings_s"]["3 train"] < 15
