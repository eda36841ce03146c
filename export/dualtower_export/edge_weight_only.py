"""Smaller weights around float activations, by ai-edge-quantizer, out of the float32 file.

https://github.com/google-ai-edge/ai-edge-quantizer
"""

from __future__ import annotations

from ai_edge_quantizer.qtyping import QuantGranularity, TFLOperationName
from ai_edge_quantizer.quantizer import Quantizer

from dualtower_export.edge_convert import float32
from dualtower_export.edge_source import EdgeSource

__all__ = ["embedding_int4", "weight_only_int8"]

_EVERY_NAME = ".*"


def weight_only_int8(source: EdgeSource) -> bytes:
    """Weights in int8 with a step a row, made float before they are multiplied."""
    quantizer = Quantizer(float32(source))
    for operation in (TFLOperationName.FULLY_CONNECTED, TFLOperationName.EMBEDDING_LOOKUP):
        quantizer.add_weight_only_config(_EVERY_NAME, operation, num_bits=8)
    return _made(quantizer)


def embedding_int4(source: EdgeSource) -> bytes:
    """Products by int8 weights and activations of the range of each call; tables in int4."""
    quantizer = Quantizer(float32(source))
    quantizer.add_dynamic_config(_EVERY_NAME, TFLOperationName.FULLY_CONNECTED, num_bits=8)
    quantizer.add_weight_only_config(
        _EVERY_NAME,
        TFLOperationName.EMBEDDING_LOOKUP,
        num_bits=4,
        granularity=QuantGranularity.CHANNELWISE,
    )
    return _made(quantizer)


def _made(quantizer: Quantizer) -> bytes:
    return bytes(quantizer.quantize(enable_progress_bar=False, enable_progress_report=False)
                 .quantized_model)  # fmt: skip
