"""From interactions and item texts to a trained pair of towers. See the README of the folder above.

The variables below must be set before TensorFlow is imported anywhere in the process: importing
this package first is enough. TensorFlow itself is imported only by the modules that compute.
"""

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # one Keras, tf_keras, for the whole project
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# off by default on AMD processors without AVX-512, where it is still the faster choice
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
