"""The page of a report: whole in itself, safe, and readable."""

import base64

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from companion.reports import wording
from companion.reports.contain import contained
from companion.reports.maths import to_mathml
from companion.reports.page import render_page

PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><rect width="1" height="1"/></svg>'


def output(**data):
    data = {key.replace("_", "/", 1): value for key, value in data.items()}
    return new_output("display_data", data=data)


def code(source="x", *outputs, tags=()):
    cell = new_code_cell(source, metadata={"tags": list(tags)})
    cell.outputs = list(outputs)
    return cell


def results(**figures):
    return {
        "title": "A <b>title</b> & more",
        "figures": {
            name: {"unit": "", "interval": None, "cell": 1, "section": "S"} | figure
            for name, figure in figures.items()
        },
        "provenance": {
            "framework": "pytorch",
            "chapter": "13_case",
            "profile": "quick",
            "data": "<log>.csv",
            "seed": 7,
            "device": "CPU",
            "parameters": {"SEED": 7},
            "versions": {"python": "3.11"},
            "cpu": "cpu",
            "platform": "Linux",
            "commit": "abc",
            "tree": "dirty",
            "started": "2026-03-05T14:03:00+00:00",
            "seconds": 143.2,
            "cells": [],
        },
    }


def render(*cells, found=None, **words):
    page = render_page(new_notebook(cells=list(cells)), found or results(), **words)
    soup = BeautifulSoup(page, "html.parser")
    assert_self_contained(soup)
    return soup


def assert_self_contained(soup):
    """No element of the page fetches anything; ordinary links are for the reader to follow."""
    for tag in soup.find_all(True):
        for name, value in tag.attrs.items():
            if name in {"src", "srcset", "poster", "background", "data"}:
                assert str(value).startswith("data:"), tag
            assert not name.startswith("on"), tag
            if name.endswith("href"):
                assert tag.name == "a", tag
                assert value.startswith(("http", "#", "mailto:")), tag
    assert not soup.find_all(["link", "iframe", "object", "embed", "base"])
    assert len(soup.find_all("script")) == 1
    for style in soup.find_all("style"):
        assert "@import" not in style.text
        assert "url(" not in style.text
    assert soup.find("meta", charset="utf-8")
    policy = soup.find("meta", attrs={"http-equiv": "Content-Security-Policy"})["content"]
    assert "default-src 'none'" in policy


def test_head_shows_title_time_data_and_device():
    soup = render(new_markdown_cell("# A <b>title</b> & more\n\nBody."))
    assert soup.html["lang"] == "en"
    assert soup.title.text == "A <b>title</b> & more"
    assert [h.text for h in soup.find_all("h1")] == ["A <b>title</b> & more"]
    line = soup.select_one(".what").text
    for word in ["5 March 2026, 14:03 UTC", "data: <log>.csv", "PyTorch on CPU", "2 min 23 s"]:
        assert word in line.replace(wording.SPACE, " ")
    assert "Body." in soup.main.text


def test_labelled_figures_are_key_figures_and_the_rest_is_listed_at_the_end():
    soup = render(
        found=results(
            recall={
                "value": 15.618,
                "label": "Recall <10>",
                "unit": "%",
                "interval": [15.12, 16.24],
            },
            table={"value": [{"m": "a", "r": 0.0213}, {"m": "b", "r": 0.1562}], "label": "All"},
            lines={"value": 1469307, "label": ""},
        )
    )
    card = soup.select_one(".key-figures dl div")
    assert card.dt.text == "Recall <10>"
    assert card.strong.text == "15.62%"
    assert card.small.text == "95% interval: 15.12 to 16.24%"
    rows = [[cell.text for cell in row.find_all("td")] for row in soup.select("header tbody tr")]
    assert rows == [["a", "0.0213"], ["b", "0.1562"]]
    assert "number" in soup.select("header tbody td")[1]["class"]
    assert "lines" not in soup.header.text
    assert "1,469,307" in soup.footer.text
    assert "abc (with changes that are not committed)" in soup.footer.text


def test_headings_make_the_contents_with_anchors_of_their_own():
    soup = render(new_markdown_cell("# T\n## One\n### 商品 & more\n## One"))
    links = [(a.text, a["href"]) for a in soup.select("nav a")]
    assert [text for text, _ in links] == ["One", "商品 & more", "One"]
    assert len({href for _, href in links}) == 3
    assert all(soup.find(id=href[1:]).text == text for text, href in links)


def test_a_page_without_headings_has_no_contents():
    assert render(new_markdown_cell("words")).nav is None


def test_code_is_folded_and_outputs_are_not():
    soup = render(code("print(1 < 2)", new_output("stream", name="stdout", text="True <b>\n")))
    assert soup.select_one("main details.code summary").text == "Code"
    assert "print(1 < 2)" in soup.select_one("main details.code pre").text
    printed = soup.select_one("pre.printed")
    assert printed.text == "True <b>\n"
    assert printed.find_parent("details") is None


@pytest.mark.parametrize("tag", ["hide", "parameters", "injected-parameters"])
def test_tagged_cells_are_folded_with_their_outputs(tag):
    soup = render(code("X = 1", new_output("stream", name="stdout", text="seen"), tags=[tag]))
    assert soup.find(string="seen").find_parent("details") is not None


def test_formulas_become_mathml_and_code_stays_code():
    text = (
        "Let $x_t < 1$, `price = $x$`, and\n\n$$\\begin{aligned} a &= b \\\\ c &= d\\end{aligned}$$"
    )
    soup = render(new_markdown_cell(text + "\n\n```\n$not math$\n```"))
    assert [m["display"] for m in soup.find_all("math")] == ["inline", "block"]
    assert soup.math.find("mo").text == "<"
    assert len(soup.find_all("mtr")) == 2
    assert soup.find("code", string="price = $x$")
    assert "$not math$" in soup.main.text


@pytest.mark.parametrize(
    "latex", [r"\frac{1}{", r"x^", r"\nosuch{a}", r"\begin{nosuch}a\end{nosuch}", " "]
)
def test_a_formula_that_cannot_be_read_is_shown_as_its_source(latex):
    shown = BeautifulSoup(to_mathml(latex), "html.parser")
    assert shown.math is None
    assert shown.code.text == f"${latex.strip()}$"


def test_formulas_cannot_smuggle_markup():
    assert "<img" not in to_mathml(r"\text{<img src=x onerror=alert(1)>}")
    assert "<script" not in to_mathml(r"\text{<script>}") + to_mathml(r"\frac{<script>}{")
    assert "javascript" not in to_mathml(r"\href{javascript:alert(1)}{x}")
    assert "50%" in to_mathml(r"\text{50\%}")


def test_pictures_are_embedded_with_their_descriptions(tmp_path):
    (tmp_path / "shop.svg").write_text(SVG, encoding="utf-8")
    described = output(image_png=PIXEL)
    described.metadata["alt"] = 'Loss "falls"'
    soup = render(
        new_markdown_cell("## Loss\n![a shop](shop.svg) ![gone](gone.png)"),
        code("plot()", output(image_png=PIXEL + "\n", text_plain="<Figure size 1x1>")),
        code("plot()", described),
        code("plot()", output(**{"image_svg+xml": SVG})),
        folder=tmp_path,
    )
    alts = [image["alt"] for image in soup.find_all("img")]
    assert alts == [
        "a shop",
        "Figure 1, section “Loss”",
        'Loss "falls"',
        "Figure 3, section “Loss”",
    ]
    assert soup.select_one(".missing").text == "[picture not included: gone]"
    assert soup.find_all("img")[1]["src"] == f"data:image/png;base64,{PIXEL}"


def test_what_notebooks_bring_cannot_run_or_fetch():
    wild = (
        '<script src="https://cdn.example/x.js"></script><link href="https://a/b.css">'
        '<img src="https://a/b.png" alt="far"><img src=x onerror="alert(1)">'
        '<iframe src="https://a"></iframe><p style="background:url(https://a)">kept</p>'
        '<style>@import "https://a"; p {color: red}</style><a href="javascript:alert(1)">go</a>'
        '<video src="https://a/v.mp4"></video><object data="https://a"></object><div>open'
        '<svg viewBox="0 0 1 1"><use href="https://a#b"/><image xlink:href="https://a"/></svg>'
        '<form action="https://a"><input></form><a href="https://arxiv.org/abs/1">paper</a>'
    )
    soup = render(new_markdown_cell(wild), code("x", output(text_html=wild)))
    assert soup.find_all("a", href="https://arxiv.org/abs/1")
    assert "kept" in soup.main.text
    assert "[picture not included: far]" in soup.main.text
    assert soup.footer.find_parent("main") is None  # an open <div> does not swallow the page


def test_widgets_scripts_and_recorded_figures_leave_no_output():
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "m"}, "text/plain": "bar"}
    script = {"application/javascript": "alert(1)"}
    outputs = [new_output("display_data", data=data) for data in (widget, script)]
    soup = render(code("x", *outputs))
    assert "bar" not in soup.main.text
    assert "alert" not in soup.main.text


def test_an_error_that_was_meant_and_messages_are_shown_small():
    error = new_output(
        "error", ename="ValueError", evalue="<bad>", traceback=["\x1b[31mline\x1b[0m"]
    )
    warning = new_output("stream", name="stderr", text="careful")
    soup = render(code("x", warning, error, tags=["raises-exception"]))
    assert soup.select_one(".error p").text == "ValueError: <bad>"
    assert soup.find(string="careful").find_parent("details")["class"] == ["messages"]


def test_results_and_latex_outputs_are_shown():
    result = new_output("execute_result", data={"text/plain": "(3, 4)"}, execution_count=1)
    soup = render(code("x", result), code("y", output(text_latex="$\\alpha$")))
    assert soup.select_one("pre.result").text == "(3, 4)"
    assert soup.main.find("mi").text == "α"


def test_number_columns_are_marked_and_the_name_of_rows_is_joined():
    table = (
        '<table border="1" class="dataframe"><thead><tr style="text-align: right;"><th></th>'
        "<th>n</th><th>word</th></tr><tr><th>method</th><th></th><th></th></tr></thead><tbody>"
        "<tr><th>a</th><td>-1,204.50</td><td>x</td></tr><tr><th>b</th><td>NaN</td><td>2</td></tr>"
        "</tbody></table>"
    )
    soup = BeautifulSoup(contained(table), "html.parser")
    heads = soup.select("thead th")
    assert [head.text for head in heads] == ["method", "n", "word"]
    assert [("number" in head.get("class", [])) for head in heads] == [False, True, False]
    assert soup.table.parent["class"] == ["table"]
    assert "border" not in soup.table.attrs


def test_rendering_leaves_the_notebook_as_it_was():
    notebook = new_notebook(cells=[new_markdown_cell("# T\nx"), code("x", output(image_png=PIXEL))])
    before = nbformat.writes(notebook)
    render_page(notebook, results())
    assert nbformat.writes(notebook) == before


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1469307, "1,469,307"),
        (0.0213, "0.0213"),
        (0.123456, "0.1235"),
        (61.53, "61.53"),
        (-2.5, "−2.5"),
        (0.0, "0"),
        (1234567.8, "1,234,568"),
        (1e-9, "1.000e−09"),
    ],
)
def test_numbers(value, text):
    assert wording.number(value) == text


def test_columns_share_their_decimals():
    assert wording.column([0.4, 1.2, 61.5]) == ["0.4", "1.2", "61.5"]
    assert wording.column([1, 2.25, "none"]) == ["1.00", "2.25", "none"]
    assert wording.column([True, 3]) == ["yes", "3"]
    assert wording.rows([{"a": 1}, {"b": 2}]) == (["a", "b"], [["1", ""], ["", "2"]])


@pytest.mark.parametrize(
    ("figure", "texts"),
    [
        ({"value": 5, "interval": [4, 6], "unit": ""}, ("5", "95% interval: 4 to 6")),
        (
            {"value": 0.5, "interval": [0.5, 0.5], "unit": "s"},
            ("0.5 s", "95% interval: 0.5 to 0.5 s"),
        ),
        (
            {"value": 1000.0, "interval": [900.0, 1100.0], "unit": ""},
            ("1,000", "95% interval: 900 to 1,100"),
        ),
        ({"value": "GPU", "interval": None, "unit": ""}, ("GPU", "")),
        ({"value": {"a": [1.5, True]}, "interval": None, "unit": ""}, ("a: 1.5, yes", "")),
    ],
)
def test_figures_in_words(figure, texts):
    assert tuple(t.replace(wording.SPACE, " ") for t in wording.shown(figure)) == texts


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.21, "4.2 s"), (143, "2 min 23 s"), (4000, "1 h 6 min")]
)
def test_durations(seconds, text):
    assert wording.duration(seconds).replace(wording.SPACE, " ") == text


def test_a_sentence_among_the_key_figures_comes_first_on_a_line_of_its_own():
    sentence = "ours and theirs cannot be told apart, and zero is in the interval."
    soup = render(
        code(),
        found=results(
            count={
                "value": 5,
                "label": "Count",
                "unit": "",
                "interval": None,
                "cell": 1,
                "section": "",
            },
            verdict={
                "value": sentence,
                "label": "Verdict",
                "unit": "",
                "interval": None,
                "cell": 1,
                "section": "",
            },
        ),
    )
    boxes = soup.select(".key-figures dl > div")
    assert [box.dt.text for box in boxes] == ["Verdict", "Count"]
    assert [box.get("class") for box in boxes] == [["wide"], None]
