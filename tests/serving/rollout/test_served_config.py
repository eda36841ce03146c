"""What goes out to servers: complete, with other models, and as TensorFlow Serving reads it."""

from __future__ import annotations

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from dualtower.bundle import MODELS
from dualtower.errors import UsageError
from dualtower_serving.rollout.records import write_configs
from dualtower_serving.rollout.served_config import as_text, read_others, served_config
from dualtower_serving.rollout.state import State
from dualtower_serving.rollout.target import Target

OTHERS = """
model_config_list {
  config { name: "spam" base_path: "/m/spam" model_platform: "tensorflow"
           model_version_policy { all {} } version_labels { key: "live" value: 4 } }
  config { name: "user_tower" base_path: "/old" model_platform: "tensorflow" %s }
}
"""


def _theirs(text: str) -> model_server_config_pb2.ModelServerConfig:
    """Read by TensorFlow Serving's own message."""
    return text_format.Parse(text, model_server_config_pb2.ModelServerConfig())


def test_it_is_whole_and_the_stock_server_reads_it(tmp_path) -> None:
    (tmp_path / "base").write_text(OTHERS % "", encoding="utf-8")
    others = read_others(tmp_path / "base")
    assert others.names == ["spam"]
    state = State(loaded=(1, 2), labels={"stable": 1, "canary": 2}, root="/models",
                  others=others.text)  # fmt: skip
    target = Target.at(str(tmp_path))
    write_configs(target, state)
    read = _theirs(target.config.read_text(encoding="utf-8")).model_config_list.config
    assert [one.name for one in read] == [*MODELS, "spam"]
    for one in read[:3]:
        assert one.base_path == f"/models/{one.name}"
        assert list(one.model_version_policy.specific.versions) == [1, 2]
        assert dict(one.version_labels) == {"stable": 1, "canary": 2}
    assert read[3].model_version_policy.HasField("all")
    assert dict(read[3].version_labels) == {"live": 4}
    plain = _theirs(target.unlabelled_config.read_text(encoding="utf-8")).model_config_list.config
    assert [dict(one.version_labels) for one in plain] == [{}, {}, {}, {"live": 4}]


def test_the_labels_that_the_pair_has_are_taken_over_if_they_agree(tmp_path) -> None:
    label = 'version_labels { key: "prod" value: 3 }'
    (tmp_path / "base").write_text(OTHERS % label, encoding="utf-8")
    assert read_others(tmp_path / "base").labels == {"prod": 3}
    mixed = 'config { name: "item_tower" base_path: "/old" model_platform: "tensorflow" } }'
    (tmp_path / "base").write_text((OTHERS % label).rstrip("}\n") + "}\n" + mixed)
    with pytest.raises(UsageError, match="labels the models of the pair differently"):
        read_others(tmp_path / "base")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model_config_list {", "could be carried on"),
        ('model_config_list { config { name: "a" no_such: 1 } }', "could be carried on"),
        ('custom_model_config { type_url: "x" }', "only a model_config_list"),
    ],
)
def test_what_could_not_be_carried_on_is_refused(tmp_path, text: str, said: str) -> None:
    (tmp_path / "base").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=said):
        read_others(tmp_path / "base")
    with pytest.raises(UsageError, match="cannot be read"):
        read_others(tmp_path / "none")


def test_nothing_loaded_is_an_empty_list_and_no_missing_one() -> None:
    config = served_config(State(root="/m"))
    assert config.WhichOneof("config") == "model_config_list"
    assert _theirs(as_text(config)).WhichOneof("config") == "model_config_list"


@pytest.mark.parametrize(
    ("place", "said"), [("", "no target"), ("gs://b/m", "add --state"), ("{file}", "is a file")]
)
def test_targets_that_cannot_be(tmp_path, place: str, said: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match=said):
        Target.at(place.format(file=tmp_path / "file"))
    there = Target.at("gs://b/m/", tmp_path)
    assert (there.place, there.is_folder, there.journal.parent) == ("gs://b/m", False, tmp_path)
