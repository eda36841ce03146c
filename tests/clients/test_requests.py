"""Requests are built as the models want them: padded, cut, without repeats."""

from __future__ import annotations

import pytest

from dualtower.errors import UsageError
from dualtower_clients import _requests
from dualtower_clients.proto import inference_pb2


def test_histories_are_cut_to_the_first_different_entries_and_filled_up():
    rows = _requests.history_rows([["a", "b", "a", "", "c", "d"], [], ["x"]], 3)
    assert rows == [["a", "b", "c"], ["", "", ""], ["x", "", ""]]


def test_a_string_is_no_history():
    with pytest.raises(UsageError, match="a list of strings"):
        _requests.history_rows(["abc"], 3)


@pytest.mark.parametrize(
    ("longest", "width"), [(0, 8), (1, 8), (7, 8), (8, 16), (15, 16), (100, 128)]
)
def test_exclusions_come_in_few_widths_and_begin_with_a_pad(longest, width):
    rows = _requests.exclude_rows([["i"] * longest, []])
    assert [len(row) for row in rows] == [width, width]
    assert rows[0][1 : 1 + longest] == ["i"] * longest
    assert set(rows[0][:1] + rows[0][1 + longest :] + rows[1]) == {""}


def test_a_version_of_zero_is_asked_for():
    spec = _requests.model_spec("m", version=0)
    assert spec.WhichOneof("version_choice") == "version"
    assert _requests.model_spec("m").WhichOneof("version_choice") is None
    assert _requests.model_spec("m", label="stable").version_label == "stable"


def test_version_and_label_exclude_each_other():
    with pytest.raises(UsageError, match="not both"):
        _requests.model_spec("m", version=1, label="stable")
    with pytest.raises(UsageError, match="named"):
        _requests.model_spec("")


def test_a_request_holds_what_was_given():
    raw = _requests.predict(_requests.model_spec("m", signature="s"), {"x": [1.0]}, ["y"])
    request = inference_pb2.PredictRequest.FromString(raw)
    assert request.model_spec.signature_name == "s"
    assert list(request.inputs) == ["x"]
    assert list(request.output_filter) == ["y"]
