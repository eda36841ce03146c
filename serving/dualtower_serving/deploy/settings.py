"""What is asked of a deployment, checked."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dualtower.errors import UsageError
from dualtower_serving.deploy.image_reference import REPOSITORY, ImageReference
from dualtower_serving.engines import DEFAULT_IMAGE

__all__ = ["MODEL_SOURCES", "Settings"]

MODEL_SOURCES = ("image", "volume")
_NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")


@dataclass(frozen=True)
class Settings:
    """What a user may choose.

    Attributes:
        name: of the Deployment, the Services and the scrape job.
        namespace: of Kubernetes; "" leaves it to `kubectl -n`.
        image: the stock image, pinned.
        gpu_image: its sibling for GPUs; "" takes the same tag with `-gpu`.
        image_tensorflow: the image's TensorFlow, where its tag does not tell.
        models: `image`, the bundle is part of the image; `volume`, versions lie on a volume.
        repository: where the built image is pushed to; "" is `name`, for one machine.
        storage_class: of the volume; "" is the cluster's default.
        cpus: cores of a server.
        gpus: GPUs of a server of the GPU variant.
        min_replicas: servers at the least.
        max_replicas: servers at the most.
        calls_in_flight: calls being answered, on average, at which a server counts as full; 0
            takes four for each core.
        monitoring_namespace: from where Prometheus may scrape.
        p99_ms: an alert fires above.
        error_ratio: an alert fires above this share of calls that failed through the server.
    """

    name: str = "dualtower"
    namespace: str = ""
    image: str = DEFAULT_IMAGE
    gpu_image: str = ""
    image_tensorflow: str = ""
    models: str = "image"
    repository: str = ""
    storage_class: str = ""
    cpus: int = 2
    gpus: int = 1
    min_replicas: int = 2
    max_replicas: int = 6
    calls_in_flight: int = 0
    monitoring_namespace: str = "monitoring"
    p99_ms: float = 250.0
    error_ratio: float = 0.01

    def __post_init__(self) -> None:
        for option, name, empty in (
            ("--name", self.name, False),
            ("--namespace", self.namespace, True),
            ("--monitoring-namespace", self.monitoring_namespace, False),
            ("--storage-class", self.storage_class, True),
        ):
            if not _NAME.fullmatch(name) and not (empty and not name):
                raise UsageError(
                    f"{option} {name!r}: Kubernetes takes at most 40 small letters, digits and "
                    "dashes here, a letter first"
                )
        if self.models not in MODEL_SOURCES:
            raise UsageError(f"--models is {' or '.join(MODEL_SOURCES)}, got {self.models!r}")
        if self.repository and not re.fullmatch(REPOSITORY, self.repository):
            raise UsageError(
                f"--repository {self.repository!r} is none; it is written registry/name, without "
                "a tag: that is made of the bundle's version and fingerprint"
            )
        for option, number in (
            ("--cpus", self.cpus), ("--gpus", self.gpus), ("--min-replicas", self.min_replicas),
        ):  # fmt: skip
            if number < 1:
                raise UsageError(f"{option} must be at least 1, got {number}")
        if self.max_replicas < self.min_replicas:
            raise UsageError(
                f"--max-replicas {self.max_replicas} is less than --min-replicas "
                f"{self.min_replicas}"
            )
        if self.calls_in_flight < 0:
            raise UsageError(f"--calls-in-flight must be at least 1, got {self.calls_in_flight}")
        if not 0 < self.error_ratio < 1:
            raise UsageError(f"--error-ratio lies between 0 and 1, got {self.error_ratio}")
        if not self.p99_ms > 0:
            raise UsageError(f"--p99-ms must be positive, got {self.p99_ms}")
        _ = self.server_gpu_image  # refuses a name that is none
        if not self.server_tensorflow:
            raise UsageError(
                f"the tag of --image {self.image} does not say which TensorFlow is in it; name it "
                "with --image-tensorflow 2.20.0"
            )

    @property
    def server_image(self) -> ImageReference:
        return ImageReference.parse(self.image, option="--image")

    @property
    def server_gpu_image(self) -> ImageReference | None:
        """None where neither an option nor the tag tells."""
        if self.gpu_image:
            return ImageReference.parse(self.gpu_image, option="--gpu-image")
        return self.server_image.for_gpu

    @property
    def server_tensorflow(self) -> str:
        """Version of the image's TensorFlow."""
        return self.image_tensorflow or self.server_image.release

    @property
    def full_at(self) -> int:
        """Calls in flight at which a server counts as full."""
        return self.calls_in_flight or 4 * self.cpus
