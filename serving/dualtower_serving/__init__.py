"""From a bundle to a running server with TensorFlow Serving's API.

    from dualtower_serving import start

    with start("bundle", engine="auto", port=0) as server:
        server.address, server.engine, server.pid, server.log_tail()

The server itself (`dualtower-model-server`) is in `model_server`; only that imports TensorFlow.
"""

from dualtower_serving.launch import RunningServer, start

__all__ = ["RunningServer", "start"]
