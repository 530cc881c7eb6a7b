"""HTML from a notebook, made safe to stand in one file: nothing is fetched, nothing is run."""

import html
import re
from typing import Any

from bs4 import BeautifulSoup, Tag

DROPPED = ["script", "link", "base", "meta", "noscript", "template", "form"]
DROPPED += ["iframe", "frame", "object", "embed", "applet"]
FETCHING = {"src", "srcset", "poster", "background", "data", "action", "formaction", "ping"}
SAFE_LINK = re.compile(r"(https?:|mailto:|#)", re.I)
DATA = re.compile(r"data:(image|audio|video|font)/", re.I)
NUMBER = re.compile(r"[-+−±]?[\d,.\s  ]*\d(\.\d*)?([eE][-+]?\d+)?\s?%?")
EMPTY_CELL = {"", "NaN", "nan", "inf", "-inf", "null", "None", "<NA>", "—", "–", "-"}


def contained(fragment: str) -> str:
    """Clean a fragment: no scripts or frames, pictures only as data, tables ready to read.

    A picture that lies elsewhere is replaced by a note with its description, so that a reader
    sees that something is missing.
    """
    soup = BeautifulSoup(fragment, "html.parser")
    for tag in soup.find_all(DROPPED):
        tag.decompose()
    for tag in soup.find_all("style"):
        # Styles of a styled table concern that table alone (#T_...); others restyle the page.
        text = tag.get_text()
        if "#T_" not in text or "@import" in text or "url(" in text:
            tag.decompose()
    for tag in soup.find_all(True):
        _clean(tag)
    for table in soup.find_all("table"):
        _join_heads(table)
        _align_numbers(table)
        if table.parent is None or table.parent.get("class") != ["table"]:
            table.wrap(soup.new_tag("div", attrs={"class": "table"}))
    return str(soup)


def _clean(tag: Tag) -> None:
    """Take from one tag whatever fetches, runs or leads nowhere."""
    for name in list(tag.attrs):
        value = str(tag.attrs[name]).strip()
        fetches = name in FETCHING or (name.endswith("href") and tag.name not in {"a", "area"})
        inner = name.endswith("href") and value.startswith("#")  # a part of the same drawing
        if (
            name.startswith("on")
            or (fetches and not inner and not DATA.match(value))
            or ("url(" in value.lower() and name != "href" and "url(#" not in value.lower())
        ):
            del tag.attrs[name]
    if tag.name == "a" and "href" in tag.attrs and not SAFE_LINK.match(str(tag["href"]).strip()):
        tag.unwrap()  # a file beside the notebook is not beside the report
        return
    if tag.name in {"img", "source", "video", "audio"} and "src" not in tag.attrs:
        if tag.name == "img":
            described = html.escape(str(tag.get("alt") or "no description"), quote=False)
            note = f'<span class="missing">[picture not included: {described}]</span>'
            tag.replace_with(BeautifulSoup(note, "html.parser"))
    elif tag.name == "img" and not tag.get("alt"):
        tag["alt"] = "picture"


def _join_heads(table: Tag) -> None:
    """Put the name of the rows, which pandas sets on a line of its own, on the line of heads."""
    heads = table.select("thead tr")
    lines = [line.find_all(["td", "th"], recursive=False) for line in heads]
    if len(lines) != 2 or len(lines[0]) != len(lines[1]):
        return
    (corner, *_), (name, *rest) = lines
    if not corner.get_text().strip() and not any(cell.get_text().strip() for cell in rest):
        corner.string = name.get_text().strip()
        heads[1].decompose()


def _align_numbers(table: Tag) -> None:
    """Mark the columns of numbers, heads included, so that the digits stand under each other."""
    for name in ("border", "width", "height"):
        table.attrs.pop(name, None)
    rows = [row.find_all(["td", "th"], recursive=False) for row in table.select("tbody tr")]
    heads = [row.find_all(["td", "th"], recursive=False) for row in table.select("thead tr")]
    for row in table.find_all("tr"):
        row.attrs.pop("style", None)  # pandas aligns every head to the right
    width = max((len(row) for row in rows), default=0)
    for column in range(width):
        cells: list[Any] = [row[column] for row in rows if len(row) == width]
        texts = [cell.get_text().strip() for cell in cells if cell.name == "td"]
        filled = [text for text in texts if text not in EMPTY_CELL]
        if not filled or not all(NUMBER.fullmatch(text) for text in filled):
            continue
        for cell in cells + [head[column] for head in heads if len(head) == width]:
            cell["class"] = [*cell.get_attribute_list("class"), "number"]
            cell["class"] = [name for name in cell["class"] if name]
