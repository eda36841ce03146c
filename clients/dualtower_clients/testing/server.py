"""A gRPC server in this process whose models, faults and versions a test decides.

FakeServer ─► Answering: models, faults, health, and what was asked
          └─► Listener: the port
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from types import TracebackType

import grpc
from numpy.typing import ArrayLike

from dualtower_clients.testing.calls import Call
from dualtower_clients.testing.faults import Fault, Scripted, When
from dualtower_clients.testing.holding import Hold
from dualtower_clients.testing.journal import Which
from dualtower_clients.testing.listening import Answering, Listener
from dualtower_clients.testing.models import FakeModel, FakeSignature, Function, Refusal
from dualtower_clients.testing.space import Rank, bundle_models

__all__ = ["FakeServer"]

_QUEUE_FULL = "The batch scheduling queue to which this task was submitted is full"
_GARBAGE = b"\xff\xff\xff\xff garbage"
_TIMEOUT_S = 30.0
_WILDCARDS = ("0.0.0.0", "[::]")


class FakeServer:
    """A model server for tests. It listens from the beginning, and until `stop` or `with` ends.

    Calls of the same moment run side by side. What a test changes counts from the next call on.

    Args:
        port: 0 takes a free one.
        host: where it listens; "0.0.0.0" where a container is to reach it.
        credentials: of `grpc.ssl_server_credentials`, for TLS.
        threads: calls that may be under way at a time, those that wait included; another one
            waits for its turn, and is not in `calls` before.

    Attributes:
        calls: what it was asked, in order; `calls.clear()` begins anew.
        abandoned: those of which the client has given up, by a cancellation or at its deadline.

    Raises:
        UnavailableError: the port is taken.

    Example:
        with FakeServer() as server:
            server.add_model("half_plus_two", lambda inputs: {"y": inputs["x"] / 2 + 2})
            with ServingClient(server.address) as client:
                answer = client.predict("half_plus_two", {"x": np.float32([1.0, 2.0])})
            assert server.calls[0].inputs["x"].tolist() == [1.0, 2.0]
    """

    def __init__(
        self,
        *,
        port: int = 0,
        host: str = "localhost",
        credentials: grpc.ServerCredentials | None = None,
        threads: int = 64,
    ) -> None:
        self._host = host
        self._answering = Answering()
        self._shelf, self._faults = self._answering.shelf, self._answering.faults
        self._journal = self._answering.journal
        self._listener = Listener(
            self._answering, host=host, port=port, credentials=credentials, threads=threads
        )
        self.calls: list[Call] = self._journal.calls
        self.abandoned: list[Call] = self._journal.abandoned
        self.start()

    @classmethod
    def with_bundle(
        cls,
        items: Mapping[str, str] | Sequence[str],
        *,
        dim: int = 16,
        version: int = 1,
        history_items: int = 20,
        k_max: int = 100,
        salt: str = "",
        rank: Rank | None = None,
        port: int = 0,
        host: str = "localhost",
        credentials: grpc.ServerCredentials | None = None,
        threads: int = 64,
    ) -> FakeServer:
        """A server with the three models of a bundle, as `add_bundle` makes them.

        Example:
            with FakeServer.with_bundle(["rye bread", "white bread", "oat milk"]) as server:
                with Recommender(server.address) as recommender:
                    assert recommender.recommend(["white bread"], k=1).item_ids == ("rye bread",)
        """
        server = cls(port=port, host=host, credentials=credentials, threads=threads)
        server.add_bundle(
            items,
            dim=dim,
            version=version,
            history_items=history_items,
            k_max=k_max,
            salt=salt,
            rank=rank,
        )
        return server

    @property
    def port(self) -> int:
        """Where it listens; the same after `restart`."""
        return self._listener.port

    @property
    def address(self) -> str:
        """HOST:PORT, for a client on this machine."""
        return f"{'localhost' if self._host in _WILDCARDS else self._host}:{self.port}"

    def add_model(
        self,
        name: str,
        what: Function | Mapping[str, ArrayLike] | FakeSignature | FakeModel,
        *,
        version: int = 1,
    ) -> None:
        """Loads a version of a model; the highest one answers who names none.

        Args:
            name: of the model.
            what: a function from arrays by alias to arrays by alias, or the arrays that it always
                answers; or signatures in full.
            version: replaced if it is there.
        """
        self._shelf.put(name, version, FakeModel.of(what))

    def add_bundle(
        self,
        items: Mapping[str, str] | Sequence[str],
        *,
        dim: int = 16,
        version: int = 1,
        history_items: int = 20,
        k_max: int = 100,
        salt: str = "",
        rank: Rank | None = None,
        models: Collection[str] = ("user_tower", "item_tower", "recommender"),
    ) -> None:
        """Loads a version of a bundle. Its vectors are hashes of words; see `hash_vectors`.

        Args:
            items: the catalogue, texts by id; in a list the texts are the ids too.
            dim: length of a vector.
            version: of all three models.
            history_items: entries of a history that count.
            k_max: the longest list.
            salt: another one is another space, with another fingerprint.
            rank: decides what is recommended, in place of the vectors: from a history, as texts
                or as ids, to item ids, the best first. What is excluded or in the history is left
                out, and scores are 1, 1/2, 1/3 and so on.
            models: which of the three, for a rollout that is half done.
        """
        catalogue = items if isinstance(items, Mapping) else {text: text for text in items}
        made = bundle_models(
            catalogue,
            dim=dim,
            version=version,
            history_items=history_items,
            k_max=k_max,
            salt=salt,
            rank=rank,
        )
        for name in models:
            self._shelf.put(name, version, made[name])

    def set_state(self, name: str, version: int, state: str) -> None:
        """START, LOADING, AVAILABLE, UNLOADING or END: only AVAILABLE answers."""
        self._shelf.set_state(name, version, state)

    def set_label(self, name: str, label: str, version: int) -> None:
        """Points a label of a model at one of its versions."""
        self._shelf.set_label(name, label, version)

    def delay(
        self,
        delay_s: float,
        *,
        model: str | None = None,
        method: str | None = None,
        signature: str | None = None,
        calls: Collection[int] | None = None,
        share: float | None = None,
        seed: int = 0,
    ) -> Scripted:
        """Makes calls wait before they are answered; `math.inf` until the client gives up.

        Every fault lasts until `heal`, or to the end of `with server.delay(...):`.

        Args:
            delay_s: how long.
            model: only calls of it.
            method: only calls of it, such as "Predict".
            signature: only calls of it, such as "describe" or "serving_default".
            calls: only these, counted from 0 among those that come from now on and fit the above.
            share: only so many of them, drawn with `seed`.
            seed: another one draws others.
        """
        when = When(Which(model, method, signature), calls, share, seed)
        return self._faults.add(Fault(when, delay_s=delay_s))

    def fail(
        self,
        code: str,
        message: str = "",
        *,
        model: str | None = None,
        method: str | None = None,
        signature: str | None = None,
        calls: Collection[int] | None = None,
        share: float | None = None,
        seed: int = 0,
    ) -> Scripted:
        """Ends calls with a code of gRPC, such as "UNAVAILABLE"; which ones as in `delay`."""
        when = When(Which(model, method, signature), calls, share, seed)
        return self._faults.add(Fault(when, refusal=Refusal(code, message)))

    def fill_queue(
        self,
        *,
        model: str | None = None,
        signature: str | None = None,
        calls: Collection[int] | None = None,
        share: float | None = None,
        seed: int = 0,
    ) -> Scripted:
        """Refuses predictions as a server whose batching queue is full; which as in `delay`."""
        return self.fail(
            "UNAVAILABLE",
            _QUEUE_FULL,
            model=model,
            method="Predict",
            signature=signature,
            calls=calls,
            share=share,
            seed=seed,
        )

    def garble(
        self,
        answer: bytes | Callable[[Call], bytes] = _GARBAGE,
        *,
        model: str | None = None,
        method: str | None = None,
        signature: str | None = None,
        calls: Collection[int] | None = None,
        share: float | None = None,
        seed: int = 0,
    ) -> Scripted:
        """Answers calls with bytes that are no message; which as in `delay`.

        Args:
            answer: or with these, or with what your function makes of the call.
        """
        when = When(Which(model, method, signature), calls, share, seed)
        return self._faults.add(Fault(when, answer=answer))

    def swell(
        self,
        extra_bytes: int,
        *,
        model: str | None = None,
        method: str | None = None,
        signature: str | None = None,
        calls: Collection[int] | None = None,
        share: float | None = None,
        seed: int = 0,
    ) -> Scripted:
        """Makes right answers larger by so much; which as in `delay`."""
        when = When(Which(model, method, signature), calls, share, seed)
        return self._faults.add(Fault(when, extra_bytes=extra_bytes))

    def hold(
        self,
        *,
        model: str | None = None,
        method: str | None = None,
        signature: str | None = None,
        calls: Collection[int] | None = None,
        share: float | None = None,
        seed: int = 0,
    ) -> Hold:
        """Makes calls wait until the test lets them go on; which as in `delay`.

        What they meet then is what the test had set when they came, but models as they are now.
        """
        held = Hold()
        when = When(Which(model, method, signature), calls, share, seed)
        self._faults.add(Fault(when, hold=held))
        return held

    def set_health(self, state: str, *, service: str | None = None) -> None:
        """What the health service says: SERVING, NOT_SERVING or UNKNOWN.

        It is SERVING from the beginning and after `heal`, and does not follow the models: that
        is how TensorFlow Serving has it.

        Args:
            state: said to `Check`, and at once to all who `Watch`.
            service: "" or "ModelService" or "PredictionService"; None is all three. Others are
                NOT_FOUND to `Check`, and SERVICE_UNKNOWN to `Watch`.
        """
        self._answering.health.set(state, service)

    def heal(self) -> None:
        """Ends all that was set of delays, holds, errors, garbage and health."""
        self._faults.clear()
        self._answering.health.set("SERVING", None)

    def calls_of(
        self,
        *,
        model: str | None = None,
        method: str | None = None,
        signature: str | None = None,
    ) -> list[Call]:
        """Those of `calls` for which all holds that is given."""
        return self._journal.of(Which(model, method, signature))

    def wait_for_calls(
        self,
        count: int = 1,
        *,
        model: str | None = None,
        method: str | None = None,
        signature: str | None = None,
        timeout_s: float = _TIMEOUT_S,
    ) -> list[Call]:
        """Waits until so many have come, and gives them; which as in `calls_of`.

        Under asyncio: `await asyncio.to_thread(server.wait_for_calls, 3)`.

        Raises:
            TimeoutError: there are fewer; it says how many.
        """
        which = Which(model, method, signature)
        return self._journal.wait(count, which, abandoned=False, timeout_s=timeout_s)

    def wait_for_abandoned(
        self,
        count: int = 1,
        *,
        model: str | None = None,
        method: str | None = None,
        signature: str | None = None,
        timeout_s: float = _TIMEOUT_S,
    ) -> list[Call]:
        """Waits until so many were given up: a server learns of that a moment later.

        Raises:
            TimeoutError: there are fewer; it says how many.
        """
        which = Which(model, method, signature)
        return self._journal.wait(count, which, abandoned=True, timeout_s=timeout_s)

    def start(self) -> None:
        """Listens again after `stop`, at the same port."""
        self._listener.start()

    def stop(self) -> None:
        """Breaks all connections, as a server that dies does. Models, faults and calls stay."""
        self._listener.stop()

    def restart(self) -> None:
        """Stops and listens again, at the same port."""
        self.stop()
        self.start()

    def __repr__(self) -> str:
        return f"FakeServer({self.address!r})"

    def __enter__(self) -> FakeServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
