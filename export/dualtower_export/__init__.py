"""From a trained run to a gated, fingerprinted bundle. See the README of the folder above.

    from dualtower_export import ExportConfig, export_bundle

    bundle = export_bundle(Path("run"), Path("bundle"), ExportConfig(k_max=200))

`export_bundle` brings TensorFlow when it is first used, so that `dualtower verify` needs none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dualtower_trainer  # noqa: F401  sets TensorFlow's environment before any module imports it
from dualtower_export.config import ExportConfig

if TYPE_CHECKING:
    from dualtower_export.pipeline import export_bundle

__all__ = ["ExportConfig", "export_bundle"]


def __getattr__(name: str) -> Any:
    if name != "export_bundle":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from dualtower_export.pipeline import export_bundle

    return export_bundle
