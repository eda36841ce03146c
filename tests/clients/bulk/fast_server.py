"""A server in a process of its own that answers at once, with vectors that mean nothing.

python fast_server.py DIM       # prints its port; ends with its standard input
"""

from __future__ import annotations

import sys
from concurrent import futures

import grpc
import numpy as np

from dualtower_clients import encode
from dualtower_clients.proto import inference_pb2

DIM = int(sys.argv[1])
NUMBERS = ("dim", "history_items", "item_tokens", "k_max", "bundle_version")


def response(outputs: dict[str, np.ndarray]) -> bytes:
    message = inference_pb2.PredictResponse()
    message.model_spec.version.value = 1
    for alias, value in outputs.items():
        message.outputs[alias].CopyFrom(encode(value))
    return message.SerializeToString()


DESCRIBED = response(
    {name: np.int32([DIM]) for name in NUMBERS} | {"fingerprint": np.array(["f"], object)}
)
EMBEDDED: dict[int, bytes] = {}


def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
    asked = inference_pb2.PredictRequest.FromString(request)
    if asked.model_spec.signature_name == "describe":
        return DESCRIBED
    (tensor,) = asked.inputs.values()
    rows = tensor.tensor_shape.dim[0].size
    if rows not in EMBEDDED:
        EMBEDDED[rows] = response({"embedding": np.ones((rows, DIM), np.float32)})
    return EMBEDDED[rows]


class Everything(grpc.GenericRpcHandler):
    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(answer)


def main() -> None:
    server = grpc.server(futures.ThreadPoolExecutor(4), handlers=(Everything(),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    sys.stdin.read()
    server.stop(None)


if __name__ == "__main__":
    main()
