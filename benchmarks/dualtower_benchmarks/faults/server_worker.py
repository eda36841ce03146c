"""The process of one fake server, or of an end of connections that speaks no gRPC.

It gets a job: `{"port": 0}`, with `"kind": "silent"`, `"garbage"` or `"name_server"` for what
`hostile` has in place of a fake server, `"relay": [host, port]` for one more address of the fake
server, `"tls": [key, certificate]` of PEM, `"salt"` of a bundle that it has from the beginning.
`{"port": ...}` comes back. Then come pairs of a method's name and its arguments, answered by what
the method gave, those of `FakeServer` by None. It ends with its pipe.

The model "m" answers y = x + its version, so that an answer says itself whether it is right.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

import grpc

from dualtower_benchmarks.faults import hostile
from dualtower_clients.testing import FakeServer

__all__ = ["CATALOGUE", "MODEL", "SALTS", "main"]

MODEL = "m"
CATALOGUE = {f"i{number}": f"item {number} of the shop" for number in range(12)}
SALTS = {1: "", 2: "another space"}  # of the bundle's versions

_HOSTILE = {
    "silent": hostile.Silent,
    "garbage": hostile.Garbage,
    "name_server": hostile.NameServer,
}


class Fake:
    """A `FakeServer`, and what is asked of it besides its own methods."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        tls = job.get("tls")
        credentials = None
        if tls:
            key, certificate = (text.encode() for text in tls)
            credentials = grpc.ssl_server_credentials([(key, certificate)])
        self.server = FakeServer(port=job.get("port", 0), credentials=credentials)
        self.port = self.server.port
        self.add_version(version=1)
        if "salt" in job:
            self.server.add_bundle(CATALOGUE, version=1, salt=job["salt"])
        if "relay" in job:
            host, port = job["relay"]
            hostile.Relay(host, port, self.port)

    def add_version(self, *, version: int) -> None:
        """Of the model; the highest one answers."""
        self.server.add_model(MODEL, lambda inputs: {"y": inputs["x"] + version}, version=version)

    def add_bundle(self, *, version: int, models: list[str]) -> None:
        """Of `CATALOGUE`, in the space of its version."""
        self.server.add_bundle(CATALOGUE, version=version, salt=SALTS[version], models=models)

    def count(self, *, method: str = "Predict") -> int:
        """Calls that came."""
        return sum(call.method == method for call in self.server.calls)


def main(pipe: Connection, job: Mapping[str, Any]) -> None:
    """Serves until the other end of the pipe is closed."""
    kind = job.get("kind", "fake")
    served: Any = Fake(job) if kind == "fake" else _HOSTILE[kind]()
    pipe.send({"port": served.port})
    while True:
        try:
            name, arguments = pipe.recv()
        except EOFError:
            os._exit(0)  # calls that hang need not end
        pipe.send(_done(served, name, arguments))


def _done(served: Any, name: str, arguments: Mapping[str, Any]) -> Any:
    """What a method gave; of the fake server's own ones nothing, since it is of that process."""
    if hasattr(served, name):
        return getattr(served, name)(**arguments)
    getattr(served.server, name)(**arguments)
    return None
