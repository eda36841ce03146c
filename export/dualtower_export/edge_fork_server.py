"""A process that has TensorFlow imported, and makes a fork of itself for every conversion.

    python -m dualtower_export.edge_fork_server SCRATCH < orders > ends

An import takes longer than most conversions, and each needs a process of its own: `convert()`
leaks (tensorflow/tensorflow#122598), and one that takes all memory must not take the others along.
SCRATCH, where the orders lie, is here so that a list of processes shows what each belongs to.

An order is a line of JSON, the fields of `Order`; an end is a line `REQUEST<tab>EXIT CODE`. The
server ends when its stdin closes, and a fork when the server does, so that a killed export leaves
no orphan behind.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import sys
from dataclasses import asdict, dataclass

from dualtower_export.edge_worker import do_work, end_when_closed

__all__ = ["Order"]

_USED = (  # by every conversion; what few need, they import themselves
    "ai_edge_litert.interpreter",
    "dualtower_export.edge_recipes",
    "dualtower_export.edge_recommender",
    "dualtower_trainer.checkpoint",
)
_ORDERS, _ENDS = 0, 1  # file descriptors


@dataclass(frozen=True)
class Order:
    """What a fork does.

    Attributes:
        module: its function `work` takes the text of the request.
        request: a file.
        log: a file for what it says.
    """

    module: str
    request: str
    log: str

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def next_order(orders: int, ends: int) -> Order:
    """Returns in forks alone, to each with its order, until `orders` closes; then it exits."""
    woken, wake = os.pipe()  # a byte for each fork that ended
    for end in (woken, wake):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    line, held = os.pipe()  # closes with this process
    running: dict[int, str] = {}
    heard = b""
    while True:
        ready, _, _ = select.select([orders, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
        if orders in ready:
            said = os.read(orders, 1 << 16)
            if not said:
                os._exit(0)  # nobody waits for the forks
            *lines, heard = (heard + said).split(b"\n")
            for text in lines:
                order = Order(**json.loads(text))
                if not (pid := os.fork()):
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    for end in (woken, wake, held, ends):
                        os.close(end)
                    end_when_closed(line)
                    _speak_into(order.log)
                    return order
                running[pid] = order.request
        for pid, request in list(running.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del running[pid]
                code = os.waitstatus_to_exitcode(status)
                os.write(ends, f"{request}\t{code}\n".encode())


def _speak_into(log: str) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)


def _main() -> None:
    end_when_closed(_ORDERS)  # also while it imports
    ends = os.dup(_ENDS)
    os.dup2(2, _ENDS)  # what an import prints is no end
    for name in _USED:
        importlib.import_module(name)
    order = next_order(_ORDERS, ends)
    do_work(importlib.import_module(order.module).work, order.request)


if __name__ == "__main__":
    _main()
    sys.exit(0)
