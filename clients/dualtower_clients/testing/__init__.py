"""A model server of your own making, for tests of code that asks one. No TensorFlow, no mocks.

    from dualtower_clients.testing import FakeServer

    with FakeServer.with_bundle({"b1": "rye bread", "m1": "oat milk"}) as server:
        server.delay(0.2, share=0.1)
        my_service = Service(Recommender(server.address))
        assert my_service.home_page("ann") == [...]
        assert [call.model for call in server.calls] == [...]

It is a real gRPC server on a loopback port: what is tested goes over the wire, with real deadlines,
real broken connections and real metadata.
"""

from dualtower_clients.testing.calls import Call
from dualtower_clients.testing.faults import Scripted
from dualtower_clients.testing.holding import Hold
from dualtower_clients.testing.models import FakeModel, FakeSignature, Refusal
from dualtower_clients.testing.server import FakeServer
from dualtower_clients.testing.space import hash_vectors
from dualtower_clients.testing.wire import Wire

__all__ = [
    "Call",
    "FakeModel",
    "FakeServer",
    "FakeSignature",
    "Hold",
    "Refusal",
    "Scripted",
    "Wire",
    "hash_vectors",
]
