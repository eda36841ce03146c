"""The name of a container image, taken apart: `registry/repository:tag@sha256:digest`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dualtower.errors import UsageError

__all__ = ["REPOSITORY", "ImageReference"]

REPOSITORY = r"(?:[a-z0-9][a-z0-9._-]*(?::\d+)?/)?[a-z0-9][a-z0-9._-]*(?:/[a-z0-9][a-z0-9._-]*)*"
_FORM = re.compile(
    rf"(?P<repository>{REPOSITORY})"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_RELEASE = re.compile(r"(\d+\.\d+\.\d+)(?:-gpu)?")
_GPU = "-gpu"


@dataclass(frozen=True)
class ImageReference:
    """A parsed name.

    Attributes:
        repository: with its registry, such as `tensorflow/serving`.
        tag: "" if there is none.
        digest: "sha256:..." or "".
    """

    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str, *, option: str) -> ImageReference:
        """Takes a pinned name apart.

        Raises:
            UsageError: no image name, or one that names another image tomorrow.
        """
        found = _FORM.fullmatch(text)
        if found is None:
            raise UsageError(
                f"{option} {text!r} is no image; it is written repository:tag, such as "
                "tensorflow/serving:2.20.0, or repository:tag@sha256:DIGEST"
            )
        one = cls(found["repository"], found["tag"] or "", found["digest"] or "")
        if not one.digest and one.tag in ("", "latest", "latest-gpu", "nightly"):
            raise UsageError(
                f"{option} {text!r} is not pinned: it names another image tomorrow; give a "
                "version, such as tensorflow/serving:2.20.0, or a digest, repository@sha256:DIGEST"
            )
        return one

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.repository}{tag}" + (f"@{self.digest}" if self.digest else "")

    @property
    def release(self) -> str:
        """The version of TensorFlow Serving that the tag names, "" if it names none."""
        found = _RELEASE.fullmatch(self.tag)
        return found[1] if found else ""

    @property
    def for_gpu(self) -> ImageReference | None:
        """The stock image's sibling for GPUs, None where its name cannot be told."""
        return ImageReference(self.repository, self.tag + _GPU) if self.release else None
