"""Makes the environment of the course, or repairs it. Standard library only.

    python3 tools/environment.py            pip's extras: pytorch, tensorflow, dev
    python3 tools/environment.py --gpu      the GPU builds of both frameworks

The environment is `.venv` beside pyproject.toml. A stamp in it holds a fingerprint of all
that decides its content: the versions asked for, the Python, the place where it lies. With
the right stamp there is nothing to do. A moved, half-made or broken environment has no right
stamp: it is made again from nothing, never trusted.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VERSIONS = ((3, 11), (3, 12))
EXTRAS = {False: "pytorch,tensorflow,dev", True: "gpu,dev"}
KERNEL_VARIABLES = {
    "OMP_NUM_THREADS": "1",  # two threads wait for each other on small networks
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "TF_ENABLE_ONEDNN_OPTS": "0",
}


def say(text: str) -> None:
    print(f"set-up: {text}", flush=True)


def fingerprint(venv: Path, gpu: bool) -> str:
    """What the environment must have been made from, and where."""
    digest = hashlib.sha256()
    for name in ("pyproject.toml", "constraints.txt", "data/wheels.txt", "tools/environment.py"):
        digest.update((ROOT / name).read_bytes())
    return f"{digest.hexdigest()} {sys.version_info[:2]} {EXTRAS[gpu]}\n{venv}\n"


def python_of(venv: Path) -> Path:
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def problem(venv: Path, stamp: str) -> str | None:
    """Why the environment cannot be used as it is, in a few words, or None."""
    if not venv.exists():
        return "there is none yet"
    if not (venv / ".ok").exists():
        return "it is half-made"
    found = (venv / ".ok").read_text(encoding="utf-8")
    made_of, _, place = found.partition("\n")
    if not made_of or not place.strip():
        return "it is half-made"
    if place.strip() != str(venv):
        return "it was moved"
    if found != stamp:
        return "the versions asked for have changed"
    probe = [str(python_of(venv)), "-c", "import companion, numpy, sys; print(sys.prefix)"]
    try:
        answer = subprocess.run(probe, capture_output=True, text=True, cwd=tempfile.gettempdir())
    except OSError:
        return "its Python does not start"
    if answer.returncode or Path(answer.stdout.strip()) != venv:
        return "it does not import the package"
    return None


def install(venv: Path, gpu: bool) -> None:
    """The package with its extras, by uv when it can be had, else by pip."""
    python = str(python_of(venv))
    what = ["-c", "constraints.txt", "-e", f".[{EXTRAS[gpu]}]"]
    environ = dict(os.environ)
    if not gpu and environ.get("PIP_FIND_LINKS"):  # a folder of wheels that pip is told of
        environ.setdefault("UV_FIND_LINKS", environ["PIP_FIND_LINKS"])
    got_uv = subprocess.run([python, "-m", "pip", "install", "--quiet", "uv"], cwd=ROOT)
    if got_uv.returncode == 0:
        uv = [python, "-m", "uv", "pip", "install", "--quiet", "--python", python]
        if (
            subprocess.run([*uv, "--compile-bytecode", *what], cwd=ROOT, env=environ).returncode
            == 0
        ):
            return
    say("uv could not do it; pip tries (slower)")
    subprocess.run([python, "-m", "pip", "install", "--quiet", *what], cwd=ROOT, check=True)


def install_kernel(venv: Path) -> None:
    """The kernel named python3, the name that every notebook of the course carries."""
    command = [str(python_of(venv)), "-m", "ipykernel", "install", "--sys-prefix"]
    command += ["--name", "python3", "--display-name", "Python 3 (course)"]
    for name, value in KERNEL_VARIABLES.items():
        command += ["--env", name, value]
    subprocess.run(command, check=True, capture_output=True)


def prepare(venv: Path, gpu: bool) -> None:
    """Leaves a working environment in `venv`; does nothing where there is one."""
    stamp = fingerprint(venv, gpu)
    if not gpu and problem(venv, fingerprint(venv, gpu=True)) is None:
        return  # the GPU builds were asked for before, and they do all that the others do
    why = problem(venv, stamp)
    if why is None:
        return
    say(f"making the environment in {venv.name} ({why}); one to two minutes, once")
    shutil.rmtree(venv, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    install(venv, gpu)
    install_kernel(venv)
    fetched = subprocess.run([str(python_of(venv)), "-m", "companion", "data", "fetch"], cwd=ROOT)
    if fetched.returncode:
        say("going on with the sample in data/sample")
    draft = venv / ".ok.part"
    draft.write_text(stamp, encoding="utf-8")
    os.replace(draft, venv / ".ok")  # whole or not at all
    say("done")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpu", action="store_true", help="the GPU builds of both frameworks")
    gpu = parser.parse_args().gpu
    if sys.version_info[:2] not in VERSIONS:
        wanted = " or ".join(".".join(map(str, v)) for v in VERSIONS)
        raise SystemExit(
            f"set-up: Python {wanted} is needed; this is {sys.version.split()[0]}. "
            "Name another: make PYTHON=python3.11 …"
        )
    try:
        prepare(ROOT / ".venv", gpu)
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"set-up: failed in: {' '.join(map(str, error.cmd))}") from None


if __name__ == "__main__":
    main()
