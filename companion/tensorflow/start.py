"""What has to be set before TensorFlow is imported for the first time, and right after.

Twin: companion/pytorch/start.py
"""

import os
import sys
from contextlib import nullcontext, suppress

from companion.core.runtime import silent_stderr

if "keras" in sys.modules and sys.modules["keras"].config.backend() != "tensorflow":
    raise ImportError("Keras already runs on another backend: restart, import this package first")
os.environ["KERAS_BACKEND"] = "tensorflow"

# Log lines carry times and process numbers, and would stand in a notebook's output. Builds for a
# GPU write some in spite of the variable. Whoever sets it to 0 or 1 wants to see them.
_quiet = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2") not in ("0", "1")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # oneDNN adds up in another order

with silent_stderr() if _quiet else nullcontext():
    import tensorflow as tf

    for _gpu in tf.config.list_physical_devices("GPU"):
        # By default TensorFlow takes all of a GPU's memory, also from PyTorch. The setting is
        # refused where the GPU is in use already: then it stays as the caller chose.
        with suppress(RuntimeError):
            tf.config.experimental.set_memory_growth(_gpu, True)

if _quiet:
    # "5 out of the last 5 calls triggered retracing": TensorFlow counts five models as one.
    tf.get_logger().setLevel("ERROR")
