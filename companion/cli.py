"""The command `companion`: report, data, doctor."""

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import traceback
from collections.abc import Sequence
from importlib import metadata

import companion

# Run in a process of its own: a framework takes seconds and hundreds of megabytes to load.
PROBES = {
    "PyTorch": (
        "torch",
        """
import json, torch
device = "CPU"
if torch.cuda.is_available():
    device = torch.cuda.get_device_name(0)
elif torch.backends.mps.is_available():
    device = "Apple GPU"
print(json.dumps({"version": torch.__version__, "device": device,
                  "threads": torch.get_num_threads()}))
""",
    ),
    "TensorFlow": (
        "tensorflow",
        """
import json, keras, tensorflow as tf
found = tf.config.list_physical_devices("GPU")
details = tf.config.experimental.get_device_details(found[0]) if found else {}
print(json.dumps({"version": tf.__version__ + ", Keras " + keras.__version__,
                  "device": details.get("device_name", "GPU") if found else "CPU",
                  "threads": tf.config.threading.get_intra_op_parallelism_threads() or "auto"}))
""",
    ),
}
LIBRARIES = ("numpy", "pandas", "polars", "scikit-learn", "jupyterlab", "papermill")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit status: 0 well, 1 failed with a sentence, 130 interrupted.

    A wrong usage exits with 2. Set COMPANION_DEBUG=1 to see the traceback of a failure.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a name in Chinese must not stop an ASCII terminal
            stream.reconfigure(errors="backslashreplace")
    arguments = list(sys.argv[1:] if argv is None else argv)
    options = _parser(arguments).parse_args(arguments)
    try:
        return int(options.func(options) or 0)
    except KeyboardInterrupt:
        return _fail("Stopped before it was done.", 130)
    except ModuleNotFoundError as error:
        return _fail(f"The module {error.name} is not installed: run `make setup`.")
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}.")
    except ValueError as error:
        return _fail(str(error) or type(error).__name__)


def _fail(sentence: str, status: int = 1) -> int:
    if os.environ.get("COMPANION_DEBUG"):
        traceback.print_exc()
    print(f"companion: {sentence}", file=sys.stderr)
    return status


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="companion", description="Recommender systems with reinforcement learning: a course."
    )
    parser.add_argument("--version", action="version", version=f"companion {companion.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_report(commands)
    data = commands.add_parser("data", help="get, list, import, simulate and look at shopping logs")
    if arguments[:1] == ["data"]:  # its libraries are loaded for this command alone
        from companion.data.commands import add_parsers
        from companion.envs.commands import add_parsers as add_simulate

        actions = data.add_subparsers(required=True, metavar="ACTION")
        add_parsers(actions)
        add_simulate(actions)
    doctor = commands.add_parser("doctor", help="say what is installed and what it runs on")
    doctor.set_defaults(func=_doctor)
    return parser


def _add_report(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    report = commands.add_parser("report", help="make an HTML report from a shopping log")
    report.add_argument("--framework", choices=("pytorch", "tensorflow"), default="pytorch")
    report.add_argument(
        "--data",
        default="complete-journey",
        metavar="NAME|PATH",
        help="a source's name, or a file (default: %(default)s)",
    )
    report.add_argument(
        "--profile",
        default="quick",
        metavar="quick|full",
        help="a file of notebooks/profiles (default: %(default)s)",
    )
    report.add_argument("--out", metavar="DIR", help="default: reports/FRAMEWORK")
    report.add_argument(
        "-p",
        "--parameter",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="set a parameter of the chapter; may be given several times",
    )
    report.set_defaults(func=_report)


def _report(options: argparse.Namespace) -> int:
    from companion.reports.run import run_report  # loads papermill, which takes a second

    out = options.out or os.path.join("reports", options.framework)
    print(
        f"Report from {options.data} in {options.framework}, profile {options.profile}.",
        flush=True,
    )
    page = run_report(
        options.framework,
        options.data,
        options.profile,
        out,
        parameters=dict(options.parameter),
    )
    near = os.path.relpath(page)
    shown = page if near.startswith("..") else near
    print(f"The report is {shown}; its figures are in results.json beside it.")
    return 0


def _doctor(options: argparse.Namespace) -> int:
    """Say what is here, in words. Always succeeds: what is missing is an answer too."""
    print(f"companion {companion.__version__}, Python {platform.python_version()}")
    print(f"system: {platform.platform()}, {os.cpu_count()} processors")
    limit = os.environ.get("OMP_NUM_THREADS")
    print(f"threads: OMP_NUM_THREADS={limit}" if limit else "threads: OMP_NUM_THREADS is not set")
    print("libraries: " + ", ".join(f"{name} {_version(name)}" for name in LIBRARIES))
    for name, (module, code) in PROBES.items():
        print(f"{name}: {_probe(module, code)}")
    for name, answer in _data_packages().items():
        print(f"data package {name}: {answer}")
    return 0


def _data_packages() -> dict[str, str]:
    """The pinned data packages: whether each lies in the data folder, or how to get it."""
    from companion.data.fetch import fetch_command, is_present, wheels

    return {
        f"{wheel.name} {wheel.version}": "here"
        if is_present(name)
        else f"not here, run `{fetch_command(name)}`"
        for name, wheel in wheels().items()
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"


def _probe(module: str, code: str) -> str:
    """What a framework says of itself, asked in a child process."""
    if importlib.util.find_spec(module) is None:
        return "not installed"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=180, check=False
        )
    except subprocess.TimeoutExpired:
        return "installed, but it did not start within 180 s"
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return f"installed, but it does not start: {last}"
    said = json.loads(lines[-1])
    where = "runs on CPU" if said["device"] == "CPU" else f"runs on the GPU {said['device']}"
    return f"{said['version']}, {where}, threads: {said['threads']}"


if __name__ == "__main__":
    sys.exit(main())
