"""Configurations: what is read, and in which words a wrong one is refused."""

from __future__ import annotations

import pytest
from google.protobuf import text_format

from dualtower_clients.proto.management_pb2 import ModelServerConfig
from dualtower_serving.embedded import model_config
from dualtower_serving.embedded.labels import check_labels, resolve
from dualtower_serving.embedded.status import Code, StatusError


def parse(text: str) -> ModelServerConfig:
    return text_format.Parse(f"model_config_list {{ {text} }}", ModelServerConfig())


def refused(text: str) -> StatusError:
    with pytest.raises(StatusError) as caught:
        model_config.check_platforms(model_config.settings_of(parse(text)))
    return caught.value


def test_a_configuration_is_read(tmp_path):
    path = tmp_path / "models.config"
    path.write_text(
        'model_config_list { config { name: "m" base_path: "/m" model_platform: "tensorflow" '
        "model_version_policy { specific { versions: 2 versions: 3 } } "
        'version_labels { key: "stable" value: 2 } } }'
    )
    (model,) = model_config.settings_of(model_config.read_file(str(path))).values()
    assert (model.name, model.base_path, model.platform) == ("m", "/m", "tensorflow")
    assert model.policy.versions == {2, 3}
    assert model.labels == {"stable": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'config { name: "m" base_path: "/m" model_platform: "tensorflow" }'
            'config { name: "m" base_path: "/n" model_platform: "tensorflow" }',
            "Illegal to list model m multiple times in config list",
        ),
        (
            'config { name: "m" base_path: "models/m" model_platform: "tensorflow" }',
            "Expected model m to have an absolute path or URI; got base_path()=models/m",
        ),
        (
            'config { name: "m" base_path: "/m" }',
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            "ModelServerConfig::model_platform, model name is m",
        ),
        (
            'config { name: "q" base_path: "/m" model_platform: "torch" }',
            "Model q requests unsupported platform torch",
        ),
        (
            'config { name: "q" base_path: "/m" model_platform: "tensorflow" logging_config {} }',
            "No request-logger-creator provided.",
        ),
    ],
)
def test_wrong_ones_are_refused_in_the_stock_words(text, message):
    error = refused(text)
    assert error.code == Code.INVALID_ARGUMENT
    assert error.message == message


def test_the_old_model_type_is_understood():
    models = model_config.settings_of(
        parse('config { name: "m" base_path: "/m" model_type: TENSORFLOW }')
    )
    assert models["m"].platform == "tensorflow"


def test_a_file_that_cannot_be_read_or_parsed_is_named(tmp_path):
    path = tmp_path / "models.config"
    with pytest.raises(StatusError, match="No such file"):
        model_config.read_file(str(path))
    path.write_text('model_config_list { config { nam: "m" } }')
    with pytest.raises(StatusError, match=r'models\.config.*no field named "nam"'):
        model_config.read_file(str(path))
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StatusError, match=r"models\.config"):
        model_config.read_file(str(path))


def test_labels_point_to_versions_that_answer():
    def check(new, current=None, *, allow=False):
        check_labels(
            {"m": new},
            {"m": current or {}},
            is_available=lambda model, version: version in (1, 2),
            allow_unavailable=allow,
        )

    check({"stable": 1, "canary": 2}, {"stable": 2})
    for arguments in ({"stable": 9}, {"stable": 9}):
        with pytest.raises(StatusError, match="label to version 9 of model m, which is not curr"):
            check(arguments)
    check({"stable": 9}, allow=True)
    check({"stable": 9}, {"stable": 9}, allow=True)
    with pytest.raises(StatusError, match="not currently available"):
        check({"stable": 9}, {"stable": 1}, allow=True)  # a label that exists may not be moved


def test_an_unknown_label_is_an_argument_error_also_of_an_unknown_model():
    assert resolve({"m": {"stable": 2}}, "m", "stable") == 2
    for model, label in (("m", "x"), ("m", ""), ("nobody", "stable")):
        with pytest.raises(StatusError) as caught:
            resolve({"m": {"stable": 2}}, model, label)
        assert caught.value.code == Code.INVALID_ARGUMENT
        assert caught.value.message == f"Unrecognized servable version label: {label}"
