"""A start that failed is explained by what the server wrote, in the words of real servers."""

from __future__ import annotations

import pytest

from dualtower_serving.failures import explain

STOCK = "2026-11-29 04:00:00.000000: E tensorflow_serving/model_servers/server.cc:451] "


@pytest.mark.parametrize(
    ("line", "exit_code", "reason"),
    [
        # ports
        ("bind: Address already in use", 1, "port 8500 was taken"),
        (f"{STOCK}Failed to BuildAndStart gRPC server", 255, "port 8500 was taken"),
        ("docker: Bind for 0.0.0.0:8500 failed: port is already allocated.", 125, "--port"),
        ("[evhttp_server.cc : 261] NET_LOG: Couldn't bind to port 8501", None, "REST port 8501"),
        (f"{STOCK}Failed to start HTTP Server at localhost:8501", None, "--no-rest"),
        (
            "port 8501 cannot be used (Address already in use); stop the server that holds it, or "
            "choose another with --rest_api_port=N",
            255,
            "REST port 8501",
        ),
        (
            "port 8500 cannot be used (Address already in use); stop the server that holds it, or "
            "choose another with --port=N",
            255,
            "port 8500 was taken",
        ),
        (f"{STOCK}--rest_api_port cannot be same as --port. Please use", None, "cannot share"),
        ("bind address 0.0.0.0:80: Permission denied", 1, "above 1023"),
        # a server of another version
        ("NOT_FOUND: Op type not registered 'FastWordpiece' in binary", 255, "op FastWordpiece"),
        (
            "INVALID_ARGUMENT: NodeDef mentions attr 'grad_x' not in Op<name=MatMul; signature=",
            255,
            "attribute grad_x of the op MatMul",
        ),
        ("unknown argument: --enable_bathing", None, "flag --enable_bathing"),
        ("unknown flag '--enable_bathing'; did you mean --enable_batching?", 255, "the flag --en"),
        # the configuration
        (
            "FAILED_PRECONDITION: Request to assign label to version 3 of model user_tower, which "
            "is not currently available for inference",
            255,
            "--allow_version_labels_for_unavailable_models",
        ),
        (f"{STOCK}Invalid protobuf file: '/models/batching.config'", 255, "/models/batching.conf"),
        (
            "W file_system_storage_path_source.cc:268] No versions of servable user_tower found "
            "under base path /models/user_tower. Did you forget",
            None,
            "no version of user_tower lies in /models/user_tower",
        ),
        (
            "FileSystemStoragePathSource encountered a filesystem access error: Could not find "
            "base path /models/user_tower for servable user_tower with error NOT_FOUND",
            None,
            "does not see the folder /models/user_tower",
        ),
        (
            "Failed to start server. Error: UNKNOWN: 1 servable(s) did not become available: "
            "{{{name: item_tower version: 2} due to error: DATA_LOSS: Can't parse it}, }",
            255,
            "version 2 of item_tower did not load",
        ),
        # memory, disk, rights
        ("terminate called after throwing an instance of 'std::bad_alloc'", -6, "out of memory"),
        ("OOM when allocating tensor with shape[1000000,384]", 255, "out of memory"),
        ("CUDA_ERROR_OUT_OF_MEMORY: out of memory", 255, "out of memory"),
        ("loading", -9, "killed, most likely for want of memory"),
        ("loading", 137, "killed, most likely for want of memory"),
        ("write: No space left on device", 1, "df -h"),
        ("PERMISSION_DENIED: /srv/b/saved_model.pb; Permission denied", 255, "chmod -R a+rX"),
        # Docker
        ("Unable to find image 'tensorflow/serving:2.20.0' locally", 125, "--image"),
        ("docker: Error response: manifest unknown: manifest unknown", 125, "--image"),
        (
            "docker: no matching manifest for linux/arm64/v8 in the manifest list entries.",
            125,
            "not made for linux/arm64/v8",
        ),
        ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", 125, "start it"),
        (
            "permission denied while trying to connect to the Docker daemon socket at unix://",
            126,
            "join its group",
        ),
        ('could not select device driver "" with capabilities: [[gpu]]', 125, "toolkit"),
        # the program itself
        ("error while loading shared libraries: libcudart.so.12: cannot open", 127, "libcudart"),
        ("starting", -4, "AVX"),
        ("starting", 139, "segmentation fault"),
        ("starting", None, "did not become ready in time"),
        ("a new kind of trouble", 3, "ended with exit code 3"),
    ],
)
def test_reasons(line: str, exit_code: int | None, reason: str) -> None:
    text = explain("binary", exit_code, ["first", line], port=8500, rest_port=8501)
    assert reason in text.splitlines()[0]
    assert "{" not in text.splitlines()[0]
    assert f"    {line}" in text


def test_what_a_good_start_writes_explains_nothing() -> None:
    lines = [
        "I server_core.cc:472] Adding/updating models.",
        "I loader_harness.cc:95] Successfully loaded servable version {name: m version: 1}",
        "I bundle_factory_util.cc] Using batching_parameters_file /models/batching.config",
        "I server.cc:430] Running gRPC ModelServer at 0.0.0.0:8500 ...",
        "I server.cc:451] Exporting HTTP/REST API at:localhost:8501 ...",
        "[evhttp_server.cc : 250] NET_LOG: Entering the event loop ...",
    ]
    text = explain("binary", 3, lines, port=8500, rest_port=8501)
    assert text.startswith("the binary server ended with exit code 3")


def test_only_the_last_lines_are_shown() -> None:
    text = explain("binary", 1, [f"line {number}" for number in range(100)], port=1)
    assert "line 99" in text
    assert "line 50" not in text
    assert "wrote no log" in explain("binary", 1, [], port=1)
