"""The REST driver: against a server that counts connections and misbehaves, and a real one."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from dualtower.bundle import Bundle
from dualtower.errors import BundleMismatch, UnavailableError, UsageError
from dualtower_benchmarks.drivers.driver import NotHere
from dualtower_benchmarks.drivers.opening import open_driver
from dualtower_benchmarks.drivers.rest_driver import RestTarget
from dualtower_benchmarks.load.load import Load
from dualtower_benchmarks.load.run import run_load
from dualtower_clients import Recommender
from dualtower_serving import start


class Server(ThreadingHTTPServer):
    """Answers each body by what it says: a status, "close" or "silence"."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.connections, self.bodies = 0, list[bytes]()
        self.address = f"127.0.0.1:{self.server_address[1]}"


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append(body)
        if body == b"silence":
            threading.Event().wait(2.0)
        if body in (b"silence", b"close"):
            self.close_connection = True
            return
        self.send_response(int(body))
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


def test_one_connection_for_all_requests(server: Server) -> None:
    target = RestTarget(server.address, "m", [b"200"], deadline_s=5.0)
    assert [target.call(index) for index in range(20)] == ["OK"] * 20
    assert server.connections == 1
    target.close()


def test_errors_have_the_name_of_their_status(server: Server) -> None:
    bodies = [b"200", b"400", b"404", b"503", b"504", b"599"]
    target = RestTarget(server.address, "m", bodies, deadline_s=5.0)
    assert [target.call(index) for index in range(6)] == [
        "OK", "BAD_REQUEST", "NOT_FOUND", "SERVICE_UNAVAILABLE", "GATEWAY_TIMEOUT", "HTTP_599",
    ]  # fmt: skip
    assert server.connections == 1
    target.close()


def test_it_connects_again_after_an_error(server: Server) -> None:
    target = RestTarget(server.address, "m", [b"close", b"200", b"silence"], deadline_s=0.3)
    assert target.call(0) == "RemoteDisconnected"
    assert target.call(1) == "OK"
    assert target.call(2) == "TimeoutError"
    assert target.call(1) == "OK"
    assert server.connections == 3
    target.close()


def test_nobody_there() -> None:
    target = RestTarget("127.0.0.1:9", "m", [b"200"], deadline_s=1.0)
    assert target.call(0) == "ConnectionRefusedError"
    with pytest.raises(UnavailableError, match="v1/models/m:predict does not answer"):
        target.first_answer()
    with pytest.raises(UsageError, match="HOST:PORT"):
        RestTarget("here:there", "m", [b"200"], deadline_s=1.0)


@pytest.mark.parametrize(("driver", "option"), [("rest", "--rest-address"), ("grpc", "--address")])
def test_a_server_without_its_address_is_not_here(driver: str, option: str) -> None:
    job = {"driver": driver, "bundle": ".", "model": "item_tower", "batch_rows": 1}
    with pytest.raises(NotHere, match=f"given without its {option}$"):
        open_driver(job | {"rest_address": "", "address": ""})


@pytest.mark.slow
def test_a_real_server_answers_as_over_grpc(small_bundle: Bundle, tmp_path: Any) -> None:
    with start(small_bundle, engine="embedded", rest_port=0) as running:
        address = f"127.0.0.1:{running.rest_port}"
        job = {"driver": "rest", "bundle": str(small_bundle.path), "rest_address": address}
        for model in ("item_tower", "user_tower", "recommender"):
            driver = open_driver({**job, "model": model, "batch_rows": 3})
            driver.check()
            client = driver.connect()
            assert [client.call(index) for index in range(5)] == ["OK"] * 5
            if model == "item_tower":
                body = json.loads(client._bodies[0])
                with Recommender(running.address) as recommender:
                    over_grpc = recommender.embed_items(body["instances"]).vectors
                over_rest = client.first_answer()["predictions"]
                np.testing.assert_allclose(over_rest, over_grpc, atol=1e-6)
            driver.close()
        driver = open_driver({**job, "model": "recommender", "batch_rows": 2})
        load = Load(rate_qps=50.0, measured_s=0.4, warmup_s=0.0, concurrency=4)
        samples = run_load(driver, load).samples
        assert set(samples.status) == {"OK"}
        driver.close()
        manifest = json.loads((small_bundle.path / "bundle.json").read_text())
        copy = tmp_path / "copy"
        copy.mkdir()
        (copy / "index").symlink_to(small_bundle.path / "index")
        (copy / "edge").symlink_to(small_bundle.path / "edge")
        (copy / "bundle.json").write_text(json.dumps(manifest | {"fingerprint": "e" * 64}))
        with pytest.raises(BundleMismatch):
            open_driver({**job, "bundle": str(copy), "model": "item_tower", "batch_rows": 1})
