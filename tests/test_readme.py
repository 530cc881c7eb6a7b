"""What the README says is true: its commands run, its links lead somewhere, its table is whole."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]
CI = (ROOT / ".ci" / "run").read_text("utf-8")
IN_CI = {"make report", "make test"}  # they make the environment that these tests run in
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A folder with a shop's orders, in a format as the README has it."""
    folder = tmp_path_factory.mktemp("shop")
    events = pl.read_csv(ROOT / "data" / "sample" / "events.csv.gz", infer_schema=False)
    orders = events.filter(pl.col("event") == "purchase").select(
        customer="user_id",
        sku="item_id",
        ordered_at=pl.col("timestamp").str.slice(0, 19),
        unit_price=pl.col("price").str.replace(".", ",", literal=True),
    )
    orders.write_csv(folder / "orders.csv", separator=";")
    return folder


def run(command, folder):
    """A command of the package, in a folder."""
    words = shlex.split(command)
    assert words[0] == "companion"
    environment = {**os.environ, "COMPANION_DATA": str(ROOT / "data")}
    return subprocess.run(
        [str(BIN / "companion"), *words[1:]],
        cwd=folder,
        capture_output=True,
        text=True,
        env=environment,
    )


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("companion")])
def test_commands_of_the_package_run(command, shop):
    """In the order of the README: the import writes what the report reads."""
    if "complete-journey" in command and not list((ROOT / "data" / "raw").glob("completejourney*")):
        pytest.skip("the data package is not here")
    done = run(command, shop)
    assert done.returncode == 0, done.stderr
    if "import" in command:
        assert pl.read_parquet(shop / "events.parquet").height > 1_000
    if "report" in command:
        page = (shop / "reports" / "mine" / "report.html").read_text("utf-8")
        assert "events.parquet" in page
        assert (shop / "reports" / "mine" / "results.json").stat().st_size > 1_000


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make")])
def test_make_commands_are_run_by_ci_or_known_to_make(command):
    """The two commands are run by CI; of the others, make must know the target and its words."""
    if command in IN_CI:
        assert re.search(rf"^{command}$", CI, re.MULTILINE)
        return
    plan = subprocess.run([*shlex.split(command), "-n"], cwd=ROOT, capture_output=True, text=True)
    assert plan.returncode == 0, plan.stderr
    for word, effect in {
        "GPU=1": "--gpu",
        "FRAMEWORK=tensorflow": "--framework tensorflow",
        "PROFILE=full": "full",
        "lab": "jupyter lab",
    }.items():
        if word in command.split():
            assert effect in plan.stdout


def test_the_way_to_one_framework_resolves():
    """`pip install -e .[pytorch]`: the extra is there, and pip finds all of it installed."""
    command = next(c for c in COMMANDS if c.startswith("pip"))
    dry = [
        sys.executable,
        "-m",
        *shlex.split(command),
        "--dry-run",
        "--no-deps",
        "--no-build-isolation",
    ]
    found = subprocess.run([w for w in dry if w != "-e"], cwd=ROOT, capture_output=True, text=True)
    assert "does not provide the extra" not in found.stderr
    assert found.returncode == 0 or "setuptools" in found.stderr, found.stderr


def test_every_kind_of_command_is_tested():
    assert len(COMMANDS) >= 10
    assert {c.split()[0] for c in COMMANDS} == {"make", "companion", "pip"}


def test_links_lead_somewhere():
    links = re.findall(r"\]\(([^)]+)\)", README)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link


def test_the_table_has_each_chapter_with_its_question_and_minutes():
    rows = dict(re.findall(r"^\| (\d+) \| (.*?) \|$", README, re.MULTILINE))
    sources = sorted((ROOT / "notebooks" / "src").glob("*.py"))
    assert {int(s.name[:2]) for s in sources} == {int(number) for number in rows}
    for source in sources:
        text = re.sub(r"\n# ?", " ", source.read_text("utf-8"))
        row = rows[str(int(source.name[:2]))]
        question = re.search(r"\*\*Question\.\*\* (.*?\?)  ", text).group(1)
        assert row.startswith(" ".join(question.split()))
        minutes = re.search(r"~(\d+) min", text).group(1)
        assert row.endswith(f"| {minutes}")
        for edition in ("pytorch", "tensorflow"):
            assert f"notebooks/{edition}/{source.stem}.ipynb" in row


def test_the_changelog_and_the_licences_are_there():
    assert "0.1.0" in (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert "Apache License" in (ROOT / "LICENSE").read_text("utf-8")
    assert "Attribution 4.0 International" in (ROOT / "LICENSE-TEXT").read_text("utf-8")
