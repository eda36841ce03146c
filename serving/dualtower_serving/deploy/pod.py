"""The container that serves a bundle, described once for Docker, Compose, Kubernetes and KServe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dualtower.bundle import CONTAINER_ROOT, MODELS, Bundle
from dualtower_serving.deploy.image_reference import ImageReference
from dualtower_serving.deploy.server_files import (
    MODEL_STATUS,
    MODELS_CONFIG,
    ServerFiles,
    server_files,
)
from dualtower_serving.deploy.settings import Settings
from dualtower_serving.deploy.sizes import Needs, needs_of

__all__ = [
    "CONFIG_ROOT", "DRAIN_S", "GRPC_PORT", "PROGRAM", "REST_PORT", "STOP_S", "USER_ID", "Pod",
    "pod_of",
]  # fmt: skip

PROGRAM = "/usr/bin/tensorflow_model_server"
CONFIG_ROOT = "/etc/dualtower"
ROLLOUT_ROOT = (
    f"{CONTAINER_ROOT}/rollout"  # where `dualtower rollout` keeps what servers start with
)
GRPC_PORT = 8500
REST_PORT = 8501
USER_ID = 65532  # nobody's: owns no file of the image

# The stock server drops running calls at SIGTERM, and a gRPC client keeps its connection to a pod
# that DNS no longer names. So the server closes connections of this age, in order, and a pod that
# is to end waits until the last of them is gone.
_CONNECTION_S = 30
_CONNECTION_GRACE_S = 10
DRAIN_S = 45
STOP_S = DRAIN_S + 15

# A call holds a thread while it waits for its batch; with the default of four for each core the
# next is refused. Three full batches of single rows.
_GRPC_THREADS = 96
_REST_THREADS = 16


@dataclass(frozen=True)
class Pod:
    """One server.

    Attributes:
        image: what runs: the built image, or the stock one beside a volume.
        gpu_image: the same for GPUs; None if it cannot be named.
        base, gpu_base: what the Dockerfiles start from.
        flags: of the model server.
        environment: variables.
        files: what lies in CONFIG_ROOT.
        needs: memory, disk, time.
        metrics_path: at REST_PORT.
        version, fingerprint: of the bundle.
    """

    image: ImageReference
    gpu_image: ImageReference | None
    base: ImageReference
    gpu_base: ImageReference | None
    flags: tuple[str, ...]
    environment: Mapping[str, str]
    files: Mapping[str, str]
    needs: Needs
    metrics_path: str
    version: int
    fingerprint: str

    def probe(self, mode: str) -> list[str]:
        """The command that asks for the models' status; `mode` is ready or live."""
        return ["/bin/bash", f"{CONFIG_ROOT}/{MODEL_STATUS}", mode, str(REST_PORT), *MODELS]


def pod_of(bundle: Bundle, settings: Settings) -> Pod:
    """Describes the container.

    Raises:
        BundleError: the bundle lacks a file that a server is started by.
    """
    baked = settings.models == "image"
    files = server_files(bundle, cpus=settings.cpus)
    texts = dict(files.texts)
    if not baked:  # the rollout's own says what a server starts with
        del texts[MODELS_CONFIG]
    base, gpu_base = settings.server_image, settings.server_gpu_image
    repository = settings.repository or settings.name
    tag = f"{bundle.version}-{bundle.fingerprint[:12]}"
    return Pod(
        image=ImageReference(repository, tag) if baked else base,
        gpu_image=ImageReference(repository, f"{tag}-gpu") if baked and gpu_base else gpu_base,
        base=base,
        gpu_base=gpu_base,
        flags=_flags(files, settings, baked=baked),
        environment=files.environment,
        files=texts,
        needs=needs_of(bundle, versions=1 if baked else 2),
        metrics_path=files.metrics_path,
        version=bundle.version,
        fingerprint=bundle.fingerprint,
    )


def _flags(files: ServerFiles, settings: Settings, *, baked: bool) -> tuple[str, ...]:
    ages = {
        "grpc.max_connection_age_ms": _CONNECTION_S * 1000,
        "grpc.max_connection_age_grace_ms": _CONNECTION_GRACE_S * 1000,
    }
    flags = [
        f"--port={GRPC_PORT}",
        f"--rest_api_port={REST_PORT}",
        f"--model_config_file={CONFIG_ROOT if baked else ROLLOUT_ROOT}/{MODELS_CONFIG}",
        *(_batching() if files.batching else ()),
        f"--monitoring_config_file={CONFIG_ROOT}/monitoring.config",
        *files.flags,
        *_inter_op(files, settings),
        f"--grpc_max_threads={max(_GRPC_THREADS, 4 * settings.cpus)}",
        f"--rest_api_num_threads={_REST_THREADS}",
        "--grpc_channel_arguments=" + ",".join(f"{key}={value}" for key, value in ages.items()),
    ]
    if baked:  # what does not load once never will
        flags.append("--max_num_load_retries=0")
    if files.labelled or not baked:  # a server refuses every label at its start without it
        flags.append("--allow_version_labels_for_unavailable_models")
    return tuple(flags)


def _batching() -> tuple[str, ...]:
    return ("--enable_batching", f"--batching_parameters_file={CONFIG_ROOT}/batching.config")


def _inter_op(files: ServerFiles, settings: Settings) -> tuple[str, ...]:
    """As many as the container has, where the bundle does not say; the server counts the node's."""
    name = "--tensorflow_inter_op_parallelism="
    if any(flag.startswith(name) for flag in files.flags):
        return ()
    return (f"{name}{max(2, settings.cpus)}",)
