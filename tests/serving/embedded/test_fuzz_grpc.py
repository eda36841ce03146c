"""A server that is sent anything at all: it answers, goes on, and grows no more than it may.

In the long form DUALTOWER_FUZZ_MESSAGES says how many messages are sent.
"""

from __future__ import annotations

import collections
import importlib.util
import os
import shutil
import sys
from pathlib import Path

import grpc
import pytest

MESSAGES = int(os.environ.get("DUALTOWER_FUZZ_MESSAGES", "1000"))
AT_A_TIME = 32
MOST_TENSOR_MB = 8
# a tensor of each message that is under way: fed, given back, encoded, and free but not returned
MOST_MB = 4 * AT_A_TIME * MOST_TENSOR_MB
LEAK_MB = 150  # that the second half may add: the C library's free pages come and go
ALLOWED = {
    "OK", "INVALID_ARGUMENT", "INTERNAL", "NOT_FOUND", "FAILED_PRECONDITION", "UNIMPLEMENTED",
    "OUT_OF_RANGE", "RESOURCE_EXHAUSTED",
}  # fmt: skip


def _broken():
    path = Path(__file__).with_name("broken_messages.py")
    spec = importlib.util.spec_from_file_location("broken_messages", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


@pytest.mark.parametrize("flags", [(), ("--enable_batching",)], ids=["direct", "batching"])
def test_anything_may_come(model_server, small_models, mini_bundle, tmp_path, flags) -> None:
    shutil.copytree(mini_bundle / "serving" / "item_tower", tmp_path / "item_tower")
    shutil.copytree(small_models / "examples", tmp_path / "examples")
    config = "".join(
        f'config {{ name: "{name}" base_path: "{tmp_path}/{name}" model_platform: "tensorflow" }}'
        for name in ("item_tower", "examples")
    )
    (tmp_path / "models.config").write_text(f"model_config_list {{ {config} }}")
    server = model_server(
        f"--model_config_file={tmp_path}/models.config",
        f"--max_tensor_bytes={MOST_TENSOR_MB * 1_000_000}",
        *flags,
    )
    server.wait_ready("item_tower", "examples")
    broken = _broken()
    seen: collections.Counter[tuple[str, str]] = collections.Counter()
    with grpc.insecure_channel(server.address) as channel:
        before = answers(channel, broken.good_messages())
        started_mb = resident_mb(server.process.pid)
        under_way: collections.deque = collections.deque()
        for number, (method, raw) in enumerate(broken.broken_messages(5, MESSAGES)):
            if number == MESSAGES // 2:
                halfway_mb = resident_mb(server.process.pid)
            under_way.append((method, channel.unary_unary(method).future(raw, timeout=60)))
            if len(under_way) >= AT_A_TIME:
                note(seen, *under_way.popleft())
        for method, future in under_way:
            note(seen, method, future)
        ended_mb = resident_mb(server.process.pid)
        assert answers(channel, broken.good_messages()) == before
    codes = collections.Counter(code for _, code in seen.elements())
    print(
        f"\n{sum(seen.values())} messages: {dict(codes)}; "
        f"{started_mb:.0f} MB at first, {halfway_mb:.0f} halfway, {ended_mb:.0f} at last"
    )
    assert sum(seen.values()) == MESSAGES
    assert set(codes) <= ALLOWED
    assert {"OK", "INVALID_ARGUMENT", "INTERNAL"} <= set(codes)
    assert ended_mb - started_mb < MOST_MB
    assert ended_mb - halfway_mb < LEAK_MB
    assert server.stop() == 0
    assert "Traceback" not in server.log


def answers(channel: grpc.Channel, messages: list) -> list[bytes]:
    """Parsed and written again: the order of maps on the wire is free."""
    return [
        b"".join(
            sorted(channel.unary_unary(method)(message.SerializeToString(), timeout=60).split())
        )
        for method, message in messages
    ]


def note(seen: collections.Counter, method: str, future: grpc.Future) -> None:
    seen[(method, future.code().name)] += 1
