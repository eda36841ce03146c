"""Several servers, other people's models, and servers that fail in the middle."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures

import grpc
import pytest

from dualtower.bundle import MODELS
from dualtower.errors import GateFailed, UnavailableError, UsageError
from dualtower_clients import Recommender, ServingClient
from dualtower_clients.proto import management_pb2
from dualtower_serving.rollout.load_step import load
from dualtower_serving.rollout.overview import overview
from dualtower_serving.rollout.sync_step import sync

RELOAD = "/tensorflow.serving.ModelService/HandleReloadConfigRequest"


class Replica:
    """A server in front of a real one: passes everything on, and can refuse labels or be away."""

    def __init__(self, address: str) -> None:
        self._behind = grpc.insecure_channel(address)
        self.refuses_labels = self.away = False
        self.refusals = 0  # of labels, that are still to come
        self.reloads: list[management_pb2.ModelServerConfig] = []
        outer = self

        class Everything(grpc.GenericRpcHandler):
            def service(self, details):
                return grpc.unary_unary_rpc_method_handler(
                    lambda request, context: outer._pass_on(details.method, request, context)
                )

        self._server = grpc.server(futures.ThreadPoolExecutor(8), handlers=(Everything(),))
        self.address = f"localhost:{self._server.add_insecure_port('localhost:0')}"
        self._server.start()

    def _pass_on(self, method: str, request: bytes, context) -> bytes:
        if self.away:
            context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        if method == RELOAD:
            config = management_pb2.ReloadConfigRequest.FromString(request).config
            labelled = bool(config.model_config_list.config[0].version_labels)
            if labelled and (self.refuses_labels or self.refusals):
                self.refusals = max(0, self.refusals - 1)
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no labels today")
            self.reloads.append(config)
        try:
            return self._behind.unary_unary(method)(request, timeout=30)
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())

    def close(self) -> None:
        self._server.stop(0)
        self._behind.close()


@pytest.fixture
def two(place, model_server) -> Iterator[tuple]:
    """A target with two pairs, and two replicas."""
    made = place(1, 2)
    servers = [model_server(*made.server_flags()) for _ in range(2)]
    for server in servers:
        server.wait_ready(*MODELS)
    replicas = [Replica(server.address) for server in servers]
    yield made, *replicas
    for replica in replicas:
        replica.close()


def _stable(replica: Replica) -> int:
    with Recommender(replica.address, label="stable") as recommender:
        return recommender.recommend([], k=1).version


@pytest.mark.slow
def test_all_of_them_or_none_and_a_part_is_gone_on_with(two) -> None:
    made, first, second = two
    with pytest.raises(UsageError, match="named twice"):
        made.load(1, first.address, first.address)
    made.load(1, first.address, second.address)

    # one is away: nothing is begun
    second.away = True
    for action in (lambda: made.hurried.load(2), lambda: made.hurried.run(sync)):
        with pytest.raises(UnavailableError, match=rf"nothing was changed.*{second.address}: away"):
            action()
    second.away = False
    made.load(2)
    second.away = True
    with pytest.raises(UnavailableError, match=rf"no label has moved.*{second.address}"):
        made.hurried.promote(2)
    assert (_stable(first), made.unfinished) == (1, None)
    second.away = False

    # one refuses in the middle: undone where asked for, else gone on with
    second.refuses_labels = True
    with pytest.raises(UnavailableError, match=rf"moved: {first.address}\..*goes on from here"):
        made.promote(2)
    assert (_stable(first), _stable(second)) == (2, 1)
    assert made.unfinished.step == "promote"
    with made.session("status", dry_run=True) as session:
        found = overview(session)
    assert not found["in_line"]
    assert list(found["trouble"]) == [first.address], "the journal says 1 until it is done"
    with pytest.raises(UsageError, match=r"promote of version 2 was begun at .* and not finished"):
        made.load(2)
    second.refuses_labels = False
    assert made.promote(2).state.stable == 2
    assert (_stable(first), _stable(second)) == (2, 2)

    # back without the one that is away, which is brought in line later
    second.away = True
    with pytest.raises(GateFailed, match=r"version 1 .* is stable again, but for servers that do"):
        made.rollback()
    second.away = False
    assert (_stable(first), _stable(second)) == (1, 2)
    assert made.run(sync).changed
    assert (_stable(first), _stable(second)) == (1, 1)
    assert not made.run(sync).changed

    # a begun promotion is undone by rollback
    second.refuses_labels = True
    with pytest.raises(UnavailableError, match="moved"):
        made.promote(2)
    second.refuses_labels = False
    assert made.rollback().state.stable == 1
    assert (_stable(first), _stable(second), made.unfinished) == (1, 1, None)

    # undone where that is asked for, but for the one that refuses labels also on the way back
    second.refuses_labels = True
    with pytest.raises(UnavailableError, match="no labels today"):
        made.promote(2, undo_on_failure=True)
    assert (_stable(first), _stable(second)) == (1, 1)
    second.refuses_labels = False
    assert made.rollback().state.stable == 1
    assert made.unfinished is None

    # and wholly, where it takes them again
    second.refusals = 1
    with pytest.raises(GateFailed, match="no label has moved in the end, all was put back"):
        made.promote(2, undo_on_failure=True)
    assert (_stable(first), _stable(second), second.refusals) == (1, 1, 0)
    assert made.unfinished is None
    assert made.promote(2).state.stable == 2
    assert (_stable(first), _stable(second)) == (2, 2)

    # no message ever named two versions under one label
    for replica in (first, second):
        for config in replica.reloads:
            ours = {tuple(sorted(one.version_labels.items()))
                    for one in config.model_config_list.config}  # fmt: skip
            assert len(ours) == 1


def test_other_models_stay_and_a_mixed_server_is_not_taken_over(
    place, serve_target, model_server, tmp_path
) -> None:
    made = place(1, 2)
    base = tmp_path / "base.config"
    spam = f'name: "spam" base_path: "{made.path}/item_tower" model_platform: "tensorflow"'
    ours = "".join(
        f'config {{ name: "{name}" base_path: "{made.path}/{name}" model_platform: "tensorflow" '
        f"model_version_policy {{ specific {{ versions: 1 }} }} }}"
        for name in ("user_tower", "item_tower", "recommender")
    )
    base.write_text(f"model_config_list {{ config {{ {spam} }} {ours} }}", encoding="utf-8")
    server = model_server(f"--model_config_file={base}")
    server.wait_ready("user_tower", "item_tower", "recommender", "spam")
    with pytest.raises(UsageError, match="not both"):
        made.run(load, servers=[server.address], others=base, no_others=True)
    done = made.run(load, version=2, servers=[server.address], others=base)
    assert done.state.labels == {"stable": 1, "canary": 1}, "what answered before is stable now"
    assert done.state.loaded == (1, 2)
    made.promote(2)
    with ServingClient(server.address) as client:
        assert client.predict("spam", {"text": ["a"]}).version == 2  # its policy: the latest
        assert client.predict("item_tower", {"text": ["a"]}, label="stable").version == 2
        config = management_pb2.ModelServerConfig()
        config.CopyFrom(_config(made, {"user_tower": 2, "item_tower": 1, "recommender": 1}))
        client.reload(config)
    made.target.journal.unlink()
    with pytest.raises(UsageError, match=r"stable .* user_tower 2, item_tower 1.*a mixed pair"):
        made.run(load, version=2, servers=[server.address], others=base)


def _config(made, labels: dict[str, int]) -> management_pb2.ModelServerConfig:
    config = management_pb2.ModelServerConfig()
    for name, version in labels.items():
        one = config.model_config_list.config.add(
            name=name, base_path=f"{made.path}/{name}", model_platform="tensorflow"
        )
        one.model_version_policy.specific.versions.extend([1, 2])
        one.version_labels["stable"] = version
    return config
