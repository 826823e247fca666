"""Table 1 for manuscripts: the paper's layout, nothing that LaTeX, Markdown or HTML would obey."""

from __future__ import annotations

import csv
import re
from html.parser import HTMLParser

import pytest

from xmodbench.files import write_json
from xmodbench.report.model import Report
from xmodbench.report.paper_table import printed, table_rows, tex, write_paper_table

HTML = {"html", "head", "meta", "title", "style", "body", "table", "thead", "tbody", "tr", "th", "td", "b", "i", "p"}
HOSTILE = r"\input{x} & 50% $a_b$ #1 ~^ <b>|"


@pytest.fixture
def tables(copied, plan_of, tmp_path):
    failed = next(cell for cell in copied.cells if cell.method == "noisy" and cell.dataset == "heads")
    write_json(copied.model_dir(failed) / "failure.json", {"error": "diverged"})
    report = Report.read(plan_of(tmp_path / "copy", labels={"blurry": HOSTILE}), False)
    write_paper_table(report, tmp_path)
    return report, {suffix: (tmp_path / f"table1.{suffix}").read_text() for suffix in ("tex", "md", "csv", "html")}


def test_rows_are_in_the_paper_s_order_with_controls_last(report):
    rows = table_rows(report)
    assert [row.dataset for row in rows[:7]] == ["Heads"] * 7
    assert [row.control for row in rows[:7]] == [False] * 3 + [True] * 4
    assert rows[7].dataset == "Sim Heads (simulated)"
    assert [entry.metric.published for entry in rows[0].entries] == ["ssim_tar", "ssim_src", "mse", "mi", "psnr", "fid"]


def test_the_csv_has_the_means(tables):
    report, found = tables
    rows = list(csv.DictReader(found["csv"].splitlines()))
    assert len(rows) == 14
    good = report.groups[0].results[0]
    assert float(rows[0]["psnr"]) == pytest.approx(good.image_scores["paper.psnr"].mean(), rel=1e-5)
    assert rows[0]["direction"] == "PD->T1"
    assert {row["fid"] for row in rows} == {""}
    assert [row["status"] for row in rows].count("failed") == 1


def test_latex_is_whole_and_obeys_no_name(tables):
    _, found = tables
    text = found["tex"]
    body = [line for line in text.splitlines() if line.endswith(r" \\")]
    bare = [re.sub(r"\\[&%$#_{}]", "", line) for line in body]
    assert {line.count("&") for line in bare if "multicolumn" not in line} == {8}
    assert r"\input" not in text
    assert r"\textbackslash{}input\{x\} \& 50\% \$a\_b\$ \#1 \textasciitilde{}\textasciicircum{}" in text
    for name in ("toprule", "bottomrule"):
        assert text.count(rf"\{name}") == 1
    assert text.count(r"\midrule") == 2  # above each data set
    assert r"\multicolumn{6}{l}{failed}" in text
    assert r"\textbf{" in text
    assert "Simulated data" in text


def test_braces_of_latex_match_for_any_name():
    for letter in map(chr, range(32, 0x250)):
        written = re.sub(r"\\[{}]", "", tex(letter))
        assert written.count("{") == written.count("}")


def test_html_and_markdown_escape_names(tables):
    _, found = tables
    tags = []
    reader = HTMLParser()
    reader.handle_starttag = lambda tag, attrs: tags.append(tag)
    reader.feed(found["html"])
    assert set(tags) <= HTML
    assert "50% $a_b$ #1 ~^ &lt;b&gt;|" in found["html"]
    assert r"50% $a\_b$ \#1 \~^ &lt;b&gt;\|" in found["md"]
    assert "Good & <careful>" not in found["html"]
    assert all(line.count(" | ") == 8 for line in found["md"].splitlines() if line.startswith("| Heads"))


def test_digits_are_the_paper_s(report):
    entry = report.entries[report.groups[0].key][0]
    for value, text in ((0.1234, "0.12"), (-0.0062, "-0.006"), (1652.814, "1652.81"), (None, "–"), (0.0, "0.000")):
        assert printed(type(entry)(entry.result, entry.metric, value)) == text
