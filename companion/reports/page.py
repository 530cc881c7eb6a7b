# mypy: untyped-calls-exclude="nbformat,nbconvert,companion.reports.page"
"""The page: an executed notebook and its results as one HTML file that needs nothing else."""

import copy
import re
from pathlib import Path
from typing import Any

import nbformat
from bs4 import BeautifulSoup, Tag
from jinja2 import pass_context
from markupsafe import Markup
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import MarkdownWithMath
from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped,unused-ignore]
from traitlets.config import Config

from companion.reports import wording
from companion.reports.cells import headings, own, places, plain_words, tags
from companion.reports.contain import contained
from companion.reports.maths import MathRenderer, to_mathml
from companion.reports.plan import NAMES

FOLDERS = Path(__file__).parent
FOLDED = {"parameters": "Parameters", "injected-parameters": "Parameters of this run"}
SHOWN = [
    "text/html",
    "text/markdown",
    "image/svg+xml",
    "image/png",
    "image/jpeg",
    "text/latex",
    "text/plain",
]
WIDGET = "application/vnd.jupyter.widget-view+json"


_Entries = list[dict[str, Any]]


class PageExporter(HTMLExporter):  # type: ignore[misc,unused-ignore]
    """nbconvert's HTML exporter with the report's template, formulas and clean fragments."""

    @pass_context
    def markdown2html(self, context: Any, source: str) -> str:
        """Text cells to HTML: formulas as MathML, pictures embedded, nothing fetched or run."""
        renderer = MathRenderer(
            escape=False,
            attachments=context.get("cell", {}).get("attachments", {}),
            embed_images=True,
            exclude_anchor_links=True,
            path=context.get("resources", {}).get("metadata", {}).get("path", ""),
        )
        return contained(MarkdownWithMath(renderer=renderer).render(source))

    def default_filters(self) -> Any:
        """nbconvert's filters and ours."""
        yield from super().default_filters()  # type: ignore[no-untyped-call]
        yield ("markdown2html", self.markdown2html)
        yield ("contained", contained)
        yield ("latex2mathml", _latex_output)


def render_page(notebook: Any, results: dict[str, Any], *, folder: Path | None = None) -> str:
    """The report as one HTML text.

    `results` is what `results.json` holds. `folder` is where the notebook lies: pictures that its
    text names relative to it are embedded.
    """
    exporter = PageExporter(
        template_name="template",
        extra_template_basedirs=[str(FOLDERS)],
        config=Config({"NbConvertBase": {"display_data_priority": SHOWN}}),
        language_code=notebook["metadata"].get("lang", "en"),
    )
    prepared = _prepare(notebook)
    resources = {
        "metadata": {"path": str(folder or "")},
        "report": _context(notebook, results),
    }
    page, _ = exporter.from_notebook_node(prepared, resources=resources)
    return _with_contents(page)


SENTENCE = 30  # characters: a longer text is a sentence and has a line of its own


def _context(notebook: Any, results: dict[str, Any]) -> dict[str, Any]:
    """What the template shows around the notebook."""
    origin = results["provenance"]
    keys, tables, others = _Entries(), _Entries(), _Entries()
    for name, figure in results["figures"].items():
        text, interval = wording.shown(figure)
        entry = figure | {"name": name, "text": text, "interval_text": interval}
        entry["wide"] = isinstance(figure["value"], str) and len(text) > SENTENCE
        rows = figure["value"] if isinstance(figure["value"], list) else []
        if not figure["label"]:
            others.append(entry)
        elif rows and all(isinstance(row, dict) for row in rows):
            entry["columns"], entry["rows"] = wording.rows(rows)
            tables.append(entry)
        else:
            keys.append(entry)
    keys.sort(key=lambda entry: not entry["wide"])  # a sentence is read first
    style = (FOLDERS / "template" / "report.css").read_text(encoding="utf-8")
    return {
        "title": results["title"] or "Report",
        "edition": NAMES.get(origin["framework"], origin["framework"]),
        "origin": origin,
        "moment": wording.moment(origin["started"]),
        "duration": wording.duration(origin["seconds"]),
        "keys": keys,
        "tables": tables,
        "others": others,
        "facts": wording.facts(results),
        "style": Markup(style + _colours()),
        "script": Markup((FOLDERS / "template" / "report.js").read_text(encoding="utf-8")),
    }


def _colours() -> str:
    """Code colours for a light and for a dark page."""
    light = HtmlFormatter(style="friendly").get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    return f"\n{light}\n@media screen and (prefers-color-scheme: dark) {{\n{dark}\n}}\n"


def _prepare(notebook: Any) -> Any:
    """A copy for the template: the title out of the text, folds and picture texts decided."""
    prepared = nbformat.from_dict(copy.deepcopy(dict(notebook)))
    picture = 0
    titled = False
    for cell, place in zip(prepared.cells, places(prepared), strict=True):
        fold = next((FOLDED[tag] for tag in FOLDED if tag in tags(cell)), None)
        own(cell)["fold"] = fold or ("Details" if "hide" in tags(cell) else "")
        if cell.cell_type == "markdown" and not titled and (found := headings(cell.source)):
            titled = True
            cell.source = _without_title(cell.source, found[0])
        for output in cell.get("outputs", []):
            if any(kind.startswith("image/") for kind in output.get("data", {})):
                picture += 1
                output.metadata["alt"] = _describe(output, picture, place["section"])
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if _is_shown(output)]
    return prepared


def _without_title(markdown: str, first: tuple[int, str]) -> str:
    """The text without its first heading: the head of the page says it already."""
    lines = markdown.split("\n")
    for place, line in enumerate(lines):
        if headings(line) == [first]:
            return "\n".join(lines[:place] + lines[place + 1 :])
    return markdown


def _describe(output: Any, picture: int, section: str) -> str:
    """What a picture shows, for whoever does not see it: the author's words, else its place."""
    words = output.metadata.get("alt") or "".join(output.data.get("text/plain", ""))
    if words and not re.match(r"<.*>$", words.strip(), re.S):
        return str(words)
    return f"Figure {picture}" + (f", section “{plain_words(section)}”" if section else "")


def _is_shown(output: Any) -> bool:
    """Whether an output has a form that paper knows; recorded figures and widgets have none."""
    data = output.get("data")
    return data is None or (WIDGET not in data and any(kind in data for kind in SHOWN))


def _latex_output(text: str) -> str:
    """A LaTeX output: the formula without its dollar signs, as MathML."""
    return to_mathml(text.strip().strip("$"), block=True)


def _with_contents(page: str) -> str:
    """Give each heading of the text an anchor of its own, and fill the table of contents."""
    soup = BeautifulSoup(page, "html.parser")
    main, target = soup.select_one("main"), soup.select_one("nav ol")
    assert main is not None
    assert target is not None
    used: set[str] = set()
    for heading in main.select("h1, h2, h3"):
        words = heading.get_text().strip()
        anchor = base = re.sub(r"[^\w]+", "-", words.lower()).strip("-") or "section"
        while anchor in used:
            anchor = f"{base}-{len(used)}"
        used.add(anchor)
        heading["id"] = anchor
        target.append(_entry(soup, anchor, words, heading.name))
    if not used:
        target.parent.decompose()  # type: ignore[union-attr]
    return str(soup)


def _entry(soup: BeautifulSoup, anchor: str, words: str, level: str) -> Tag:
    entry = soup.new_tag("li", attrs={"class": level})
    link = soup.new_tag("a", attrs={"href": f"#{anchor}"})
    link.string = words
    entry.append(link)
    return entry
