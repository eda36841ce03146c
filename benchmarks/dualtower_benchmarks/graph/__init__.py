"""The served encoder on a CPU, trick by trick, beside ONNX Runtime."""
