"""A small bundle of fixed bytes: all that a deployment reads, and no model that could be loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dualtower.bundle import MODELS, Bundle, write_manifest
from dualtower_serving.deploy import Deployment, Settings, deployment

SERVER_FILES = {
    "batching.config": "max_batch_size { value: 4 }\nallowed_batch_sizes: 2\n"
    "allowed_batch_sizes: 4\npad_variable_length_inputs: true\n",
    "monitoring.config": "prometheus_config { enable: true }\n",
    "server.env": "TF_ENABLE_ONEDNN_OPTS=1\n",
    "server.flags": "--model_config_file=/models/models.config\n--enable_batching\n"
    "--batching_parameters_file=/models/batching.config\n"
    "--monitoring_config_file=/models/monitoring.config\n--tensorflow_intra_op_parallelism=1\n",
}


def models_config(labels: str = "") -> str:
    entries = "".join(
        f'  config {{ name: "{name}" base_path: "/models/{name}" model_platform: "tensorflow" '
        f"model_version_policy {{ latest {{ num_versions: 1 }} }} {labels}}}\n"
        for name in MODELS
    )
    return f"model_config_list {{\n{entries}}}\n"


@pytest.fixture
def make_bundle(tmp_path: Path) -> Callable[..., Path]:
    """Writes one; `files` replaces files, or with None leaves them out; the rest is manifest."""

    def make(
        name: str = "bundle", *, files: dict[str, str | None] | None = None, **fields: Any
    ) -> Path:
        folder = tmp_path / name
        texts: dict[str, str | None] = {
            **{f"serving/{key}": text for key, text in SERVER_FILES.items()},
            "serving/models.config": models_config(),
            "serving/labels.config": models_config('version_labels { key: "stable" value: 7 } '),
            **{f"serving/{model}/7/saved_model.pb": model * 50_000 for model in MODELS},
            **(files or {}),
        }
        for path, text in texts.items():
            if text is not None:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_text(text)
        detail = "9 kinds of op, with every attribute in stock servers 2.20.0, 2.21.0"
        manifest = {
            "version": 7,
            "space": {"dim": 4, "salt": "golden"},
            "versions": {"tensorflow": "2.21.0"},
            "config": {"target_serving": "2.21.0", "force_newer": False},
            "gates": [
                {"name": f"ops/{model}", "passed": True, "detail": detail} for model in MODELS
            ],
            **fields,
        }
        write_manifest(folder, manifest)
        return folder

    return make


@pytest.fixture
def bundle(make_bundle: Callable[..., Path]) -> Path:
    return make_bundle()


@pytest.fixture
def deploy(bundle: Path) -> Callable[..., Deployment]:
    """The files for the bundle, beside it."""

    def make(**settings: Any) -> Deployment:
        out = bundle.parent / "deploy"
        return deployment(Bundle.open(bundle), Settings(**settings), out=out)

    return make
