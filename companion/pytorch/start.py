"""What has to be set before PyTorch is imported for the first time.

Twin: companion/tensorflow/start.py
"""

import os

# cuBLAS repeats its results only with this much workspace; it is read when a GPU is first used.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
