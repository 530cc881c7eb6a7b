"""What a run stands on: framework, device, threads and seed. Shared by both twins."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Runtime:
    """Where and how a run computes. As text it is one line for the top of a notebook."""

    framework: str  # "PyTorch" or "TensorFlow"
    version: str
    device: str  # "CPU", or the GPU's name
    threads: int  # threads within one operation
    seed: int
    device_note: str = ""  # why this device, such as "no GPU found"
    thread_note: str = ""  # why another number of threads than asked for

    def __str__(self) -> str:
        device = self.device + (f" ({self.device_note})" if self.device_note else "")
        threads = f"{self.threads} thread" + ("" if self.threads == 1 else "s")
        threads += f" ({self.thread_note})" if self.thread_note else ""
        return f"{self.framework} {self.version} on {device}, {threads}, seed {self.seed}"


def choose_device(asked: str, gpu: str | None, none_found: str = "no GPU found") -> tuple[str, str]:
    """The device's name and the reason for it.

    Args:
        asked: "auto" (a GPU where there is one), "cpu" or "gpu".
        gpu: the name of the GPU that the framework sees, or None.
        none_found: why `gpu` is None.

    Raises:
        ValueError: no such device.
        RuntimeError: "gpu" was asked for, and there is none.
    """
    if asked == "mps":
        raise ValueError("Apple's GPU (mps) is not supported: use device='auto' or device='cpu'")
    if asked not in ("auto", "cpu", "gpu"):
        raise ValueError(f"device must be 'auto', 'cpu' or 'gpu'; got {asked!r}")
    if asked == "cpu":
        return "CPU", "as asked"
    if gpu is not None:
        return gpu, ""
    if asked == "gpu":
        raise RuntimeError(f"device='gpu' was asked for, but: {none_found}. Use device='auto'")
    return "CPU", none_found


def check_settings(seed: int, threads: int) -> None:
    """Refuses what a framework would refuse later, or take for something else.

    Raises:
        ValueError: the seed is not in [0, 2**32), or there is not one thread or more.
    """
    if not 0 <= seed < 2**32:  # the range that every library's seed allows
        raise ValueError(f"seed must be in [0, 2**32); got {seed}")
    if threads < 1:
        raise ValueError(f"threads must be 1 or more; got {threads}")


def strict_warnings() -> None:
    """Turns a RuntimeWarning raised in this package (0 / 0, overflow) into an error."""
    warnings.filterwarnings("error", category=RuntimeWarning, module=r"companion(\.|$)")


@contextmanager
def silent_stderr() -> Iterator[None]:
    """Sends what native code writes to stderr nowhere, and always restores it.

    Works on the file descriptor, since log lines of C++ do not pass through `sys.stderr`.
    """
    try:
        saved = os.dup(2)
    except OSError:  # the process has no stderr
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
