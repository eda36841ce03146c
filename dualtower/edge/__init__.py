"""The files for a phone, read and asked in Python: what the export writes and the clients run.

    runner ─► model ─► metadata ─► flatbuffer     a `.tflite` file: asked, checked, described
       └────► tokenizer                           texts to word pieces

It needs the extra `edge` (LiteRT, `tokenizers`, flatbuffers, numpy), and never TensorFlow. Nothing
else of this package imports it.
"""
