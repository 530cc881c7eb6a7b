"""Seed, threads and device for PyTorch. Twin: companion/tensorflow/runtime.py."""

import torch

from companion.core.runtime import Runtime, check_settings, choose_device, strict_warnings

_device = torch.device("cpu")  # until `setup` finds a better one


def setup(seed: int, threads: int = 1, device: str = "auto") -> Runtime:
    """Makes a run repeatable, says in one line what it runs on, and returns that.

    The same seed, threads and kind of processor give the same bits; another kind of processor
    gives nearly the same numbers.

    Args:
        seed: for PyTorch's own random numbers, in [0, 2**32).
        threads: within one operation; results depend on it.
        device: "auto" (a GPU where there is one), "cpu" or "gpu".

    Raises:
        ValueError: a setting out of range.
        RuntimeError: a GPU was asked for, and there is none.
    """
    global _device
    check_settings(seed, threads)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    name, note = choose_device(device, gpu, _none_found())
    _device = torch.device("cpu" if name == "CPU" else "cuda")
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False  # it picks an algorithm by timing, so by chance
    torch.backends.cudnn.allow_tf32 = False  # 10 bits of mantissa are too few to compare twins
    strict_warnings()
    version = torch.__version__.split("+")[0]
    runtime = Runtime("PyTorch", version, name, torch.get_num_threads(), seed, note)
    print(runtime)
    return runtime


def chosen_device() -> torch.device:
    """Where a learner puts its model and its batches: what `setup` chose, else the CPU."""
    return _device


def _none_found() -> str:
    if torch.backends.mps.is_available():
        return "no CUDA GPU found; Apple's GPU is not used"
    return "no GPU found"
