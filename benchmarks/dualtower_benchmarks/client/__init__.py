"""The clients: codec, import, memory, beside TensorFlow's own."""
