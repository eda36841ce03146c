"""The process that `client_speed` measures codecs in: ours and TensorFlow's, beside each other.

Lines of JSON in, one out for each: first the job (`ready` comes back, with the names of the cases),
then `{"case": name, "side": "client" | "official", "calls": n}`, answered by nanoseconds a call.
Bytes are read at an odd address, where the client has to copy once, unless a case says otherwise.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dualtower_clients import codec
from dualtower_clients.proto.tensor_pb2 import TensorProto

__all__ = ["main"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


@dataclass(frozen=True)
class Case:
    """One thing done in two ways.

    Attributes:
        client: our way.
        official: TensorFlow's.
        of_client: what our way is called with.
        of_official: what TensorFlow's way is called with.
    """

    client: Callable[[Any], Any]
    official: Callable[[Any], Any]
    of_client: Any
    of_official: Any


def main() -> None:
    """Serves turns until stdin ends."""
    job = json.loads(sys.stdin.readline())
    import google.protobuf
    import tensorflow as tf

    _keep_freed_memory()

    cases = _cases(tf, job["rows"], job["dim"], job["strings"], job["seed"])
    for name, case in cases.items():
        _check(name, case)
    _say(
        {
            "ready": f"TensorFlow {tf.__version__}, protobuf {google.protobuf.__version__}",
            "cases": list(cases),
        }
    )
    for line in sys.stdin:
        turn = json.loads(line)
        _say({"elapsed_ns": _turn(cases[turn["case"]], turn["side"], turn["calls"])})


def _keep_freed_memory() -> None:
    """A copy costs what it copies, not what the kernel takes for fresh pages now and then."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's
    if mallopt is not None:
        for option in (_TRIM_THRESHOLD, _MMAP_THRESHOLD):
            mallopt(option, 1 << 30)


def _cases(tf: Any, rows: int, dim: int, strings: int, seed: int) -> dict[str, Case]:
    from tensorflow.core.framework.tensor_pb2 import TensorProto as Official

    array = np.random.default_rng(seed).normal(size=(rows, dim)).astype(np.float32)
    texts = [f"item {number} of the shop" for number in range(strings)]
    made: dict[str, Case] = {}
    for kind, value in (("float32", array), ("strings", texts)):
        sent = codec.encode(value).SerializeToString()
        made[f"{kind} to bytes"] = Case(
            codec.encode_bytes,
            lambda value: tf.make_tensor_proto(value).SerializeToString(),
            value,
            value,
        )
        made[f"{kind} from bytes"] = _reading(tf, Official, sent)
        made[f"{kind} to a message"] = Case(codec.encode, tf.make_tensor_proto, value, value)
        made[f"{kind} from a message"] = Case(
            codec.decode,
            tf.make_ndarray,
            TensorProto.FromString(sent),
            Official.FromString(sent),
        )
    made["float32 from bytes, no copy"] = _reading(
        tf, Official, codec.encode_bytes(array), odd=False
    )
    listed = codec.encode_values(array).SerializeToString()
    made["float_val from bytes"] = _reading(tf, Official, listed)
    made["float_val from a message"] = Case(
        codec.decode,
        tf.make_ndarray,
        TensorProto.FromString(listed),
        Official.FromString(listed),
    )
    made["float_val to a message"] = Case(
        codec.encode_values, functools.partial(_listed, Official), array, array
    )
    return made


def _listed(official: Any, array: NDArray[Any]) -> Any:
    """What TensorFlow's Python has instead of a function for lists of values."""
    proto = official(dtype=1, float_val=array.ravel().tolist())
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


def _reading(tf: Any, official: Any, raw: bytes, *, odd: bool = True) -> Case:
    """Numbers of four bytes at the end of `raw`, at an address that divides by four or does not."""
    shift = -len(raw) % 4 + odd  # bytes begin at one that does
    return Case(
        codec.decode,
        lambda raw: tf.make_ndarray(official.FromString(raw)),
        memoryview(bytes(shift) + raw)[shift:],
        raw,
    )


def _check(name: str, case: Case) -> None:
    """A time says nothing about a way that gives something else."""
    ours, theirs = case.client(case.of_client), case.official(case.of_official)
    if not np.array_equal(_array(ours), _array(theirs)):
        raise RuntimeError(f"{name}: the client and TensorFlow disagree")


def _array(value: Any) -> NDArray[Any]:
    if isinstance(value, np.ndarray):
        return value
    return codec.decode(value if isinstance(value, bytes) else value.SerializeToString())


def _turn(case: Case, side: str, calls: int) -> list[int]:
    call, value = (
        (case.client, case.of_client) if side == "client" else (case.official, case.of_official)
    )
    elapsed_ns = []
    gc.disable()
    for _ in range(calls):
        begin_ns = time.perf_counter_ns()
        call(value)
        elapsed_ns.append(time.perf_counter_ns() - begin_ns)
    gc.enable()
    return elapsed_ns


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
