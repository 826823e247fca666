"""Whatever a name, a title or an error holds: one line for people, and text like other text in tables and pages."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tests.properties.lines import check_line, hostile
from xmodbench.errors import UserError, plain, said
from xmodbench.generate.options import _cell as option_cell
from xmodbench.progress import Progress
from xmodbench.report.inspection.histogram import histogram_svg
from xmodbench.report.markdown import markdown_table, markdown_text
from xmodbench.report.plot_parts import plain as plot_text
from xmodbench.report.plots import to_html

READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
some = hostile.filter(lambda text: text.strip())


@pytest.mark.fault(
    "report and command line",
    "an error about names with line breaks, control characters, bidi marks or halves of characters",
    "one printable line",
)
@given(some, hostile | st.none() | st.binary(), hostile | st.none())
def test_any_error_is_one_line(what, where, fix):
    error = UserError(what, where, fix)
    check_line(error)
    assert plain(str(error)) == str(error)


@given(hostile, hostile)
def test_unforeseen_errors_are_one_line(one, other):
    for error in (ValueError(one), OSError(5, one, other), OSError(one), KeyError(one), UnicodeError(one)):
        assert said(error).isprintable()


@given(hostile)
def test_what_a_job_says_is_one_line(text):
    heard = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tqdm.tqdm.write", lambda line, file: heard.append(line))
        Progress().say(text)
    (line,) = heard
    assert line.isprintable()


class Terminal(io.StringIO):
    """Standard error, where somebody looks at it."""

    def isatty(self) -> bool:
        return True


@given(hostile)
def test_what_a_bar_is_called_obeys_nobody(text):
    shown = Terminal()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stderr", shown)
        list(Progress().track(range(2), text, total=2))
        with Progress().meter(text, 3) as came:
            came(3)
    # between bars tqdm itself returns to the line's beginning, goes up, and fills with spaces
    assert re.sub(r"[\r\n]|\x1b\[A", "", shown.getvalue()).isprintable()


def cells(markdown: str, *, text: bool = True) -> list[list[str]]:
    """The rows of a table as a reader of Markdown sees them, with what each cell holds: nothing but text, if `text`."""
    rows: list[list[str]] = []
    tokens = READER.parse(markdown)
    for token, after in pairwise(tokens):
        if token.type == "tr_open":
            rows.append([])
        elif token.type in ("td_open", "th_open"):
            assert not text or {child.type for child in after.children} <= {"text", "text_special"}, after.content
            rows[-1].append("".join(child.content for child in after.children))
    assert [token.type for token in tokens].count("table_open") == 1 and tokens[-1].type == "table_close"
    return rows


@pytest.mark.fault(
    "report and command line", "any text at all in a table of Markdown", "it stays in its cell and is shown as it is"
)
@given(st.lists(st.lists(hostile, min_size=3, max_size=3), min_size=1, max_size=3))
def test_columns_of_a_table_stay(rows):
    escaped = [[markdown_text(text) for text in row] for row in rows]
    assert cells(markdown_table(escaped[0], escaped)) == [[plain(text) for text in row] for row in [rows[0], *rows]]


@given(some)
def test_a_heading_is_one_heading(title):
    tokens = READER.parse(f"# {markdown_text(title)}\n")
    assert [token.type for token in tokens] == ["heading_open", "inline", "heading_close"]
    assert "".join(child.content for child in tokens[1].children) == plain(title)


@given(some)
def test_the_tables_of_options_keep_their_columns(text):
    rows = cells(markdown_table(["a", "b"], [[option_cell(text), "1"]]), text=False)
    assert [len(row) for row in rows] == [2, 2]


class Reader(HTMLParser):
    """Tags and attributes' names."""

    def __init__(self, text: str):
        super().__init__()
        self.seen: set[str] = set()
        self.titles: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.seen |= {tag, *(name for name, _ in attrs)}

    def handle_data(self, data):
        self.titles.append(data)


@given(hostile, hostile)
def test_no_name_becomes_a_tag(name, label):
    curve = np.ones(4, np.float32)
    ours, theirs = (Reader(histogram_svg([(a, "train", curve)], b)) for a, b in ((name, label), ("a", "b")))
    assert ours.seen == theirs.seen


@given(hostile)
def test_no_label_ends_a_script(text):
    figure = go.Figure(go.Scatter(x=[1], y=[plot_text(text)], name=plot_text(text)))
    page = to_html(figure, "dots")
    assert page.count("</script") == 1 and Reader(page).seen <= {"div", "id", "style", "script", "type", "data-plot"}
