"""A model server with TensorFlow Serving's API in this Python: `dualtower-model-server`."""
