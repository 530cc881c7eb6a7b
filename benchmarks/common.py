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


def in_process(command: list[str], **environment: str) -> Any:
    """What a program prints last, read as JSON; its own words where it fails."""
    out = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    if out.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{out.stderr[-2_000:]}")
    return json.loads(out.stdout.splitlines()[-1])


def in_turn(
    names: list[str], rounds: int, run: Callable[[str, int], dict[str, Any]]
) -> dict[str, dict[str, float]]:
    """Medians of the variants, A B C A B C; they must say the same under "check".

    Args:
        names: of the variants.
        rounds: how often each runs.
        run: name and round -> figures, and "check".
    """
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names:
            runs[name].append(run(name, number))
            figures = {k: round(v, 2) for k, v in runs[name][-1].items() if k != "check"}
            print(f"round {number + 1}  {name:36s} {figures}", flush=True)
    checks = {name: found[0]["check"] for name, found in runs.items()}
    if len({json.dumps(check, sort_keys=True) for check in checks.values()}) != 1:
        raise SystemExit(f"the variants do not agree: {checks}")
    return {
        name: {
            key: statistics.median(run[key] for run in found) for key in found[0] if key != "check"
        }
        for name, found in runs.items()
    }


def measure(script: str, names: list[str], argument: str, rounds: int) -> dict[str, Any]:
    """`in_turn` for a script whose variants run in a `worker`, each in a process of its own."""

    def run(name: str, _: int) -> dict[str, Any]:
        return in_process([sys.executable, script, "--worker", name, argument])

    return in_turn(names, rounds, run)


def conclude(name: str, figures: dict[str, Any], goals: dict[str, bool]) -> None:
    """The one line that closes a measurement: name, figures, goals, met."""
    rounded = json.loads(json.dumps(figures), parse_float=lambda text: round(float(text), 4))
    print(
        json.dumps({"name": name, "figures": rounded, "goals": goals, "met": all(goals.values())})
    )
