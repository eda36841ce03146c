"""The life of versions, with models that are files and loads that are plain functions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dualtower_serving.embedded.model_config import ModelSettings
from dualtower_serving.embedded.model_versions import State
from dualtower_serving.embedded.served_models import LoadRules, ServedModels
from dualtower_serving.embedded.status import Code, StatusError
from dualtower_serving.embedded.versions import VersionPolicy

LATEST = VersionPolicy()


class Loaded:
    def __init__(self, text: str) -> None:
        self.text = text
        self.closed = False

    def close(self) -> None:
        self.closed = True


def load(model: str, version: int, path: str) -> Loaded:
    """A version is a file; its text says what happens."""
    text = Path(path).read_text()
    if text == "broken":
        raise StatusError(Code.NOT_FOUND, "no SavedModel here")
    if text == "bug":
        raise ZeroDivisionError("in the loader")
    if text == "slow":
        time.sleep(0.4)
    return Loaded(text)


@pytest.fixture
def serve(tmp_path) -> Iterator[Callable[..., ServedModels[Loaded]]]:
    started: list[ServedModels[Loaded]] = []

    def begin(*names: str, policy: VersionPolicy = LATEST, **rules) -> ServedModels[Loaded]:
        models = ServedModels(
            load, rules=LoadRules(**{"retries": 0, "retry_pause_s": 0.05} | rules), poll_s=0.02
        )
        models.start()
        started.append(models)
        models.configure(settings(tmp_path, *names, policy=policy))
        return models

    yield begin
    for models in started:
        models.stop()


def settings(root: Path, *names: str, policy: VersionPolicy = LATEST):
    for name in names:
        (root / name).mkdir(exist_ok=True)
    return {name: ModelSettings(name, str(root / name), "tensorflow", policy, {}) for name in names}


def publish(root: Path, model: str, version: int, text: str = "good") -> None:
    (root / model).mkdir(exist_ok=True)
    (root / model / "staging").write_text(text)
    (root / model / "staging").rename(root / model / str(version))


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def states(models: ServedModels[Loaded], name: str = "m") -> dict[int, int]:
    return {one.version: one.state for one in models.states(name)}


def forever() -> bool:
    return True


def test_the_latest_version_is_loaded_and_only_that(serve, tmp_path):
    publish(tmp_path, "m", 1)
    publish(tmp_path, "m", 2)
    models = serve("m")
    assert models.wait_for(["m"], keep_waiting=forever) == []
    assert states(models) == {2: State.AVAILABLE}
    with models.lease("m") as lease:
        assert (lease.version, lease.servable.text) == (2, "good")
    for version in (1, 3):
        with pytest.raises(StatusError, match=rf"Specific\(m, {version}\)"):
            models.lease("m", version)
    with pytest.raises(StatusError, match=r"Latest\(nobody\)"):
        models.lease("nobody")


def test_a_new_version_takes_over_and_the_old_one_goes(serve, tmp_path):
    publish(tmp_path, "m", 1)
    models = serve("m")
    models.wait_for(["m"], keep_waiting=forever)
    with models.lease("m") as lease:
        old = lease.servable
    publish(tmp_path, "m", 2)
    until(lambda: states(models) == {2: State.AVAILABLE, 1: State.END})
    assert old.closed


def test_there_is_never_a_moment_without_a_version(serve, tmp_path):
    publish(tmp_path, "m", 1)
    models = serve("m")
    models.wait_for(["m"], keep_waiting=forever)
    stop = threading.Event()
    seen: list[int] = []

    def hammer() -> None:
        while not stop.is_set():
            with models.lease("m") as lease:
                assert not lease.servable.closed
                seen.append(lease.version)

    thread = threading.Thread(target=hammer)
    thread.start()
    for version in range(2, 8):
        publish(tmp_path, "m", version, "slow" if version % 2 else "good")
        until(lambda version=version: seen and seen[-1] == version)
    stop.set()
    thread.join()
    assert seen == sorted(seen)
    assert seen[-1] == 7


def test_a_version_in_use_is_closed_only_when_it_is_free(serve, tmp_path):
    publish(tmp_path, "m", 1)
    models = serve("m")
    models.wait_for(["m"], keep_waiting=forever)
    with models.lease("m") as lease:
        publish(tmp_path, "m", 2)
        until(lambda: states(models).get(1) == State.UNLOADING)
        time.sleep(0.1)
        assert not lease.servable.closed
        assert states(models)[1] == State.UNLOADING
    until(lambda: states(models)[1] == State.END)
    assert lease.servable.closed


@pytest.mark.parametrize(("text", "code"), [("broken", Code.NOT_FOUND), ("bug", Code.INTERNAL)])
def test_a_broken_version_never_replaces_a_good_one(serve, tmp_path, text, code):
    publish(tmp_path, "m", 1)
    models = serve("m")
    models.wait_for(["m"], keep_waiting=forever)
    publish(tmp_path, "m", 2, text)
    until(lambda: states(models).get(2) == State.END)
    (failed, good) = models.states("m")
    assert (failed.code, good.state) == (code, State.AVAILABLE)
    time.sleep(0.1)
    assert states(models) == {2: State.END, 1: State.AVAILABLE}


def test_a_failed_load_is_tried_again_and_may_heal(serve, tmp_path):
    publish(tmp_path, "m", 1, "broken")
    models = serve("m", retries=1000)
    until(lambda: states(models).get(1) == State.LOADING)
    time.sleep(0.15)
    assert models.states("m")[0].code == Code.OK  # as long as there are attempts left
    (tmp_path / "m" / "1").write_text("good")
    assert models.wait_for(["m"], keep_waiting=forever) == []


def test_a_version_that_failed_for_good_is_tried_again_only_when_it_comes_back(serve, tmp_path):
    publish(tmp_path, "m", 1, "broken")
    models = serve("m")
    failed = models.wait_for(["m"], keep_waiting=forever)
    assert len(failed) == 1
    assert "{name: m version: 1} due to error: NOT_FOUND: no SavedModel here" in failed[0]
    (tmp_path / "m" / "1").write_text("good")
    time.sleep(0.15)
    assert states(models) == {1: State.END}
    (tmp_path / "m" / "1").unlink()
    time.sleep(0.15)
    publish(tmp_path, "m", 1)
    until(lambda: states(models) == {1: State.AVAILABLE})


def test_a_failing_model_holds_up_no_other(serve, tmp_path):
    publish(tmp_path, "bad", 1, "broken")
    publish(tmp_path, "good", 1)
    models = serve("bad", "good", retries=1000, retry_pause_s=60.0)
    assert models.wait_for(["good"], keep_waiting=forever) == []
    publish(tmp_path, "good", 2)
    until(lambda: states(models, "good") == {2: State.AVAILABLE, 1: State.END})


def test_a_base_path_that_is_gone_keeps_what_is_loaded_and_stops_no_other(serve, tmp_path, caplog):
    publish(tmp_path, "m", 1)
    publish(tmp_path, "n", 1)
    models = serve("m", "n")
    models.wait_for(["m", "n"], keep_waiting=forever)
    (tmp_path / "m").rename(tmp_path / "away")
    until(lambda: "cannot be listed" in caplog.text)
    publish(tmp_path, "n", 2)
    until(lambda: states(models, "n").get(2) == State.AVAILABLE)
    assert states(models) == {1: State.AVAILABLE}
    publish(tmp_path, "away", 2)
    (tmp_path / "away").rename(tmp_path / "m")
    until(lambda: states(models) == {2: State.AVAILABLE, 1: State.END})


def test_deleting_the_newest_falls_back_and_deleting_all_unloads(serve, tmp_path):
    publish(tmp_path, "m", 1)
    publish(tmp_path, "m", 2)
    models = serve("m")
    models.wait_for(["m"], keep_waiting=forever)
    (tmp_path / "m" / "2").unlink()
    until(lambda: states(models) == {2: State.END, 1: State.AVAILABLE})
    (tmp_path / "m" / "1").unlink()
    until(lambda: states(models) == {2: State.END, 1: State.END})
    with pytest.raises(StatusError, match=r"Latest\(m\)"):
        models.lease("m")


def test_a_model_dropped_from_the_configuration_is_unloaded_and_may_come_back(serve, tmp_path):
    publish(tmp_path, "m", 1)
    models = serve("m")
    models.wait_for(["m"], keep_waiting=forever)
    models.configure({})
    models.configure(settings(tmp_path, "m"))  # at once, while it still unloads
    assert models.wait_for(["m"], keep_waiting=forever) == []
    models.lease("m").__exit__(None, None, None)
    models.configure({})
    until(lambda: states(models) == {1: State.END})


def test_policies_change_while_serving(serve, tmp_path):
    for version in (1, 2, 3):
        publish(tmp_path, "m", version)
    models = serve("m", policy=VersionPolicy("all"))
    until(lambda: set(states(models).values()) == {State.AVAILABLE})
    assert sorted(states(models)) == [1, 2, 3]
    only = VersionPolicy("specific", versions=frozenset({1}))
    models.configure(settings(tmp_path, "m", policy=only))
    until(lambda: states(models) == {1: State.AVAILABLE, 2: State.END, 3: State.END})


def test_waiting_ends_when_nobody_wants_to_wait(serve, tmp_path):
    models = serve("m")
    asked = []
    assert models.wait_for(["m"], keep_waiting=lambda: len(asked) < 1 and not asked.append(1)) == []
    assert states(models) == {}
