"""Every TFLite variant by its name, and the function that makes it of a tower."""

from __future__ import annotations

from collections.abc import Callable

from dualtower_export.edge_convert import dynamic_int8, float16, float32
from dualtower_export.edge_full_int8 import full_int8
from dualtower_export.edge_int16x8 import int16x8
from dualtower_export.edge_naive_int8 import naive_int8
from dualtower_export.edge_source import EdgeSource
from dualtower_export.edge_weight_only import embedding_int4, weight_only_int8

__all__ = ["RECIPES"]


# tensorflow-model-optimization takes seconds to import, and few files need it
def qat_int8(source: EdgeSource) -> bytes:
    """`edge_qat.qat_int8`."""
    from dualtower_export.edge_qat import qat_int8 as make

    return make(source)


def pruned(source: EdgeSource) -> bytes:
    """`edge_compressed.pruned`."""
    from dualtower_export.edge_compressed import pruned as make

    return make(source)


def clustered(source: EdgeSource) -> bytes:
    """`edge_compressed.clustered`."""
    from dualtower_export.edge_compressed import clustered as make

    return make(source)


# the names are those of config.VARIANTS, in that order
RECIPES: dict[str, Callable[[EdgeSource], bytes]] = {
    "float32": float32,
    "float16": float16,
    "dynamic_int8": dynamic_int8,
    "weight_only_int8": weight_only_int8,
    "embedding_int4": embedding_int4,
    "full_int8": full_int8,
    "int16x8": int16x8,
    "naive_int8": naive_int8,
    "qat_int8": qat_int8,
    "pruned": pruned,
    "clustered": clustered,
}
