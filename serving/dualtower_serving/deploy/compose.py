"""The Compose file: one server on this machine, hardened like a pod."""

from __future__ import annotations

from typing import Any

from dualtower.bundle import CONTAINER_ROOT
from dualtower_serving.deploy.image_reference import ImageReference
from dualtower_serving.deploy.pod import (
    CONFIG_ROOT,
    DRAIN_S,
    GRPC_PORT,
    PROGRAM,
    REST_PORT,
    USER_ID,
    Pod,
)  # fmt: skip
from dualtower_serving.deploy.settings import Settings
from dualtower_serving.deploy.yaml_text import yaml_text

__all__ = ["compose"]


_MOVED = (
    "BUNDLE=/path/to/bundle names the bundle if it has moved since; it must be the one that these",
    "files were written for.",
)
_PUSHED = (
    "MODELS=/path names the folder that `dualtower rollout push` wrote; else it is ./models.",
)


def compose(pod: Pod, settings: Settings, *, bundle_path: str) -> str:
    """The file; `bundle_path` is the bundle as seen from it, and $BUNDLE wins over that."""
    serving = f"${{BUNDLE:-{bundle_path}}}/serving"
    services = {"model-server": _service(pod, settings, pod.image, "Dockerfile", serving)}
    if pod.gpu_image is not None:
        gpu = _service(pod, settings, pod.gpu_image, "Dockerfile.gpu", serving)
        devices = [{"driver": "nvidia", "count": settings.gpus, "capabilities": ["gpu"]}]
        gpu["deploy"]["resources"]["reservations"] = {"devices": devices}
        gpu["environment"] = {**gpu["environment"], "CUDA_CACHE_PATH": "/tmp/.nv"}
        services["model-server-gpu"] = {"profiles": ["gpu"], **gpu}
    build = " --build" if settings.models == "image" else ""
    why = [
        f"docker compose up{build} --wait               until all three models answer",
        f"docker compose --profile gpu up model-server-gpu{build} --wait",
        "",
        "Ports are open to this machine alone.",
        *(_MOVED if settings.models == "image" else _PUSHED),
    ]
    return yaml_text({"name": settings.name, "services": services}, why=why)


def _service(
    pod: Pod, settings: Settings, image: ImageReference, dockerfile: str, serving: str
) -> dict[str, Any]:
    service: dict[str, Any] = {"image": str(image)}
    if settings.models == "image":
        service["build"] = {
            "context": ".",
            "dockerfile": dockerfile,
            "additional_contexts": {"bundle": serving},
        }
    else:
        service["volumes"] = [
            _read_only("${MODELS:-./models}", CONTAINER_ROOT), _read_only("./server", CONFIG_ROOT),
        ]  # fmt: skip
    return {
        **service,
        "entrypoint": [PROGRAM],
        "command": list(pod.flags),
        "environment": dict(pod.environment),
        "ports": [f"127.0.0.1:{port}:{port}" for port in (GRPC_PORT, REST_PORT)],
        "user": f"{USER_ID}:{USER_ID}",
        "init": True,  # passes SIGTERM on; the server as process 1 would not hear it
        "read_only": True,
        "tmpfs": ["/tmp:size=64m,mode=1777"],
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "pids_limit": 4096,
        "restart": "unless-stopped",
        "stop_grace_period": f"{DRAIN_S}s",
        "healthcheck": {
            "test": ["CMD", *pod.probe("ready")],
            "interval": "10s",
            "timeout": "10s",
            "retries": 3,
            "start_period": f"{pod.needs.start_s}s",
        },
        "deploy": {
            "resources": {
                "limits": {"cpus": str(settings.cpus), "memory": f"{pod.needs.memory_mib}M"}
            }
        },
    }


def _read_only(source: str, target: str) -> dict[str, Any]:
    return {"type": "bind", "source": source, "target": target, "read_only": True}
