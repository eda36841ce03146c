"""int16 activations around int8 weights: near to float, and slow where a runtime lacks kernels.

By ai-edge-quantizer: the converter's own 16-bit road asks for the range of every MINIMUM, that of
the wide part's integers too, which have none.
"""

from __future__ import annotations

from itertools import islice

from ai_edge_quantizer.algorithm_manager import AlgorithmName
from ai_edge_quantizer.qtyping import TFLOperationName
from ai_edge_quantizer.quantizer import Quantizer

from dualtower_export.edge_convert import float32
from dualtower_export.edge_source import EdgeSource

__all__ = ["int16x8"]

_EXAMPLES = 100
_EVERY_NAME = ".*"
_SIGNATURE = "serving_default"


def int16x8(source: EdgeSource) -> bytes:
    """int8 weights, int16 activations, their ranges by the calibration inputs; float in and out."""
    quantizer = Quantizer(float32(source))
    quantizer.add_static_config(
        _EVERY_NAME, TFLOperationName.ALL_SUPPORTED, activation_num_bits=16, weight_num_bits=8
    )
    # the static form leaves tables in float
    quantizer.add_weight_only_config(_EVERY_NAME, TFLOperationName.EMBEDDING_LOOKUP, num_bits=8)
    for end in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
        quantizer.update_quantization_recipe(
            _EVERY_NAME, end, algorithm_key=AlgorithmName.NO_QUANTIZE
        )
    requests = list(islice(source.requests(), _EXAMPLES))
    ranges = quantizer.calibrate({_SIGNATURE: requests}, num_threads=1)
    made = quantizer.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    return bytes(made.quantized_model)
