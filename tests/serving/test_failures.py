"""A start that failed is explained by what the server wrote."""

from __future__ import annotations

import pytest

from dualtower_serving.failures import explain


@pytest.mark.parametrize(
    ("line", "exit_code", "reason"),
    [
        ("bind: Address already in use", 1, "port 8500 was taken"),
        ("docker: Bind for 0.0.0.0:8500 failed: port is already allocated.", 125, "--port"),
        ("NOT_FOUND: Op type not registered 'FastWordpiece' in binary", 255, "op FastWordpiece"),
        ("Unable to find image 'tensorflow/serving:2.20.0' locally", 125, "--image"),
        ("loading", -9, "memory"),
        ("loading", 137, "memory"),
        ("loading", None, "did not become ready in time"),
        ("a new kind of trouble", 3, "ended with exit code 3"),
    ],
)
def test_reasons(line, exit_code, reason):
    text = explain("binary", exit_code, ["first", line], port=8500)
    assert reason in text.splitlines()[0]
    assert f"    {line}" in text


def test_only_the_last_lines_are_shown():
    text = explain("binary", 1, [f"line {number}" for number in range(100)], port=1)
    assert "line 99" in text
    assert "line 50" not in text
    assert "wrote no log" in explain("binary", 1, [], port=1)
