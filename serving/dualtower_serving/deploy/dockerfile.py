"""The image that carries a bundle: the stock server, the models, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping

from dualtower.bundle import CONTAINER_ROOT, MODELS, Bundle
from dualtower_serving.deploy.image_reference import ImageReference
from dualtower_serving.deploy.pod import CONFIG_ROOT, GRPC_PORT, PROGRAM, REST_PORT, USER_ID, Pod

__all__ = ["SUMS", "dockerfile", "sums"]

SUMS = "models.sha256"


def dockerfile(pod: Pod, image: ImageReference, base: ImageReference, *, tensorflow: str) -> str:
    """A Dockerfile.

    Args:
        pod: what runs.
        image: what is built.
        base: the stock image.
        tensorflow: its version, for the labels.
    """
    environment = "".join(
        f"ENV {key}={json.dumps(value)}\n" for key, value in pod.environment.items()
    )
    flags = ", \\\n     ".join(json.dumps(flag) for flag in pod.flags)
    files = " ".join(f"server/{name}" for name in (*pod.files, SUMS))
    probe = ", ".join(json.dumps(part) for part in pod.probe("ready"))
    return f"""\
# The pair of bundle version {pod.version} in the stock server. Needs BuildKit (Docker 23 or newer):
#   docker build -f THIS_FILE --build-context bundle=BUNDLE/serving -t {image} .
FROM {base}

LABEL org.opencontainers.image.title="dualtower model server" \\
      org.opencontainers.image.version="{pod.version}" \\
      org.opencontainers.image.base.name="{base}" \\
      dualtower.fingerprint="{pod.fingerprint}" \\
      dualtower.tensorflow="{tensorflow}"

COPY {files} {CONFIG_ROOT}/
# a build context, not a stage
# hadolint ignore=DL3022
COPY --from=bundle . {CONTAINER_ROOT}/
# the build fails if a single byte is not the one that was exported
RUN ["sha256sum", "--check", "--strict", "--quiet", "{CONFIG_ROOT}/{SUMS}"]

{environment}
EXPOSE {GRPC_PORT} {REST_PORT}
USER {USER_ID}:{USER_ID}
HEALTHCHECK --interval=10s --timeout=10s --start-period={pod.needs.start_s}s --retries=3 \\
  CMD [{probe}]
ENTRYPOINT ["{PROGRAM}"]
CMD [{flags}]
"""


def sums(bundle: Bundle) -> str:
    """What `sha256sum --check` reads: each file of the three models, where the image has it."""
    files: Mapping[str, Mapping[str, str]] = bundle.manifest["files"]
    return "".join(
        f"{facts['sha256']}  {CONTAINER_ROOT}/{name.removeprefix('serving/')}\n"
        for name, facts in sorted(files.items())
        if name.startswith(tuple(f"serving/{model}/{bundle.version}/" for model in MODELS))
    )
