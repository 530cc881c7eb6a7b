"""Seed, threads and device for TensorFlow. Twin: companion/pytorch/runtime.py."""

import os

import keras
import tensorflow as tf

from companion.core.runtime import (
    Runtime,
    check_settings,
    choose_device,
    silent_stderr,
    strict_warnings,
)


def setup(seed: int, threads: int = 1, device: str = "auto") -> Runtime:
    """Makes a run repeatable, says in one line what it runs on, and returns that.

    The same seed, threads and kind of processor give the same bits; another kind of processor
    gives nearly the same numbers. TensorFlow fixes threads and device when it first computes.

    Args:
        seed: for TensorFlow's own random numbers, in [0, 2**32).
        threads: within one operation; results depend on it.
        device: "auto" (a GPU where there is one), "cpu" or "gpu".

    Raises:
        ValueError: a setting out of range.
        RuntimeError: a GPU was asked for, and there is none; or TensorFlow uses one already.
    """
    check_settings(seed, threads)
    with silent_stderr():  # builds for a GPU write log lines when they start it
        name, note = choose_device(device, _gpu_name())
        used = _set_threads(threads)
        if name == "CPU":
            _hide_gpus()
        keras.utils.set_random_seed(seed)
        tf.config.experimental.enable_op_determinism()
        tf.config.experimental.enable_tensor_float_32_execution(False)  # 10 bits are too few
        tf.zeros(1) + 1  # the first operation starts the devices
    strict_warnings()
    why = "" if used == threads else f"{threads} asked for; restart Python to change it"
    runtime = Runtime("TensorFlow", tf.__version__, name, used, seed, note, why)
    print(runtime)
    return runtime


def _gpu_name() -> str | None:
    for gpu in tf.config.get_visible_devices("GPU"):
        return str(tf.config.experimental.get_device_details(gpu).get("device_name", "GPU"))
    return None


def _hide_gpus() -> None:
    try:
        tf.config.set_visible_devices([], "GPU")
    except RuntimeError:
        if tf.config.get_visible_devices("GPU"):
            sentence = "TensorFlow has started on a GPU: restart Python to use the CPU"
            raise RuntimeError(sentence) from None


def _set_threads(threads: int) -> int:
    """Sets the number of threads, unless TensorFlow has started; returns the number in use."""
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:
        return tf.config.threading.get_intra_op_parallelism_threads() or os.cpu_count() or 1
    return threads
