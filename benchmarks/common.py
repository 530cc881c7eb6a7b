"""What the measurements share: a process per variant, rounds in turn, one line of JSON."""

import importlib
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any


def worker(variants: dict[str, Callable[[str], dict[str, Any]]], modules: tuple[str, ...]) -> bool:
    """In a child process: runs one variant and prints its figures. True where that was done.

    The modules are imported before the clock starts.
    """
    if len(sys.argv) < 4 or sys.argv[1] != "--worker":
        return False
    for module in modules:
        importlib.import_module(module)
    start, cpu = time.perf_counter(), time.process_time()
    check = variants[sys.argv[2]](sys.argv[3])
    figures = {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - cpu,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "check": check,
    }
    print(json.dumps(figures))
    return True


def measure(script: str, names: list[str], argument: str, rounds: int) -> dict[str, Any]:
    """Medians of the variants, run in turn, each in a process of its own; equal checks asserted."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names:
            out = subprocess.run(
                [sys.executable, script, "--worker", name, argument],
                check=True,
                capture_output=True,
                text=True,
                env=dict(os.environ),
            )
            runs[name].append(json.loads(out.stdout.splitlines()[-1]))
            last = runs[name][-1]
            print(
                f"round {number + 1}  {name:28s} {last['seconds']:7.2f} s wall "
                f"{last['cpu_seconds']:7.2f} s CPU {last['peak_gib']:5.2f} GiB",
                flush=True,
            )
    checks = {name: found[0]["check"] for name, found in runs.items()}
    if len({json.dumps(check, sort_keys=True) for check in checks.values()}) != 1:
        raise SystemExit(f"the variants do not agree: {checks}")
    keys = ("seconds", "cpu_seconds", "peak_gib")
    return {
        name: {key: statistics.median(run[key] for run in found) for key in keys}
        for name, found in runs.items()
    }


def conclude(name: str, figures: dict[str, Any], goals: dict[str, bool]) -> None:
    """The one line that closes a measurement: name, figures, goals, met."""
    rounded = json.loads(json.dumps(figures), parse_float=lambda text: round(float(text), 4))
    print(
        json.dumps({"name": name, "figures": rounded, "goals": goals, "met": all(goals.values())})
    )
