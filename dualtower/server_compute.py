"""How a server spends its cores: TensorFlow's threads and oneDNN, for many requests or for one.

Measured on two cores with MiniLM (ratios travel, milliseconds do not): a thread an op gave 217
rows/s at 32 clients where the defaults gave 116, and a single text 2.5 ms in the graph where they
gave 4.5, since the item tower's layers come in shards that two threads run side by side. What gains
by several threads an op is a long op: an exact search over 10⁵ items took 2.1 ms instead of 2.8.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dualtower.errors import UsageError

__all__ = ["AIMS", "Compute", "compute_for"]

AIMS = ("throughput", "latency")


@dataclass(frozen=True)
class Compute:
    """What is set for an aim: environment variables, and flags of the model server."""

    environment: Mapping[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()


def compute_for(aim: str) -> Compute:
    """The settings of one of AIMS.

    Raises:
        UsageError: no such aim.
    """
    if aim not in AIMS:
        raise UsageError(f"no aim {aim!r}; there are {', '.join(AIMS)}")
    environment = {
        # oneDNN is off by default on processors without AVX-512 VNNI; the graphs of a bundle are
        # written for its fused products, and lose up to half of their speed without
        "TF_ENABLE_ONEDNN_OPTS": "1",
        # Whether the thread that runs an op takes a share of it or waits for the pool. With one
        # request at a time waiting costs a wake-up an op; a batch of 32 is 6 % slower when it takes
        # part.
        "TF_ONEDNN_THREADPOOL_USE_CALLER_THREAD": "1" if aim == "latency" else "0",
    }
    if aim == "latency":
        return Compute(environment)  # the server's default: each op on all cores
    # An op on one core, and as many requests (or batches: num_batch_threads is one for each core
    # by default) as there are cores: no op is split, so nobody waits for another's half.
    return Compute(environment, ("--tensorflow_intra_op_parallelism=1",))
