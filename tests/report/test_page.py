"""The page stands alone, escapes what it is given, and says what is missing."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from xmodbench.files import write_json
from xmodbench.report import build_report
from xmodbench.report.model import Report
from xmodbench.report.page import write_page

HOSTILE = "</script><script>alert(1)</script>"


class Reader(HTMLParser):
    """Collects elements, addresses and visible text."""

    def __init__(self):
        super().__init__()
        self.tags, self.addresses, self.text, self.attributes = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        self.addresses += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        if self.tags[-1:] not in (["script"], ["style"]):
            self.text.append(data)


def read(path) -> tuple[Reader, str]:
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader, " ".join(" ".join(reader.text).split())


@pytest.fixture
def page(built):
    return built / "report.html"


def test_all_files_are_there(page):
    names = {path.name for path in page.parent.iterdir()}
    assert names >= {"report.html", "table.csv", "table.json", "table.md", "figure.png", "figure.svg"}


def test_the_page_asks_for_nothing_from_outside(page):
    reader, _ = read(page)
    assert reader.addresses
    beside = [address for address in reader.addresses if not address.startswith(("#", "data:"))]
    assert beside
    assert all((page.parent / address).is_file() for address in beside)
    assert all(address.startswith("report_files/") for address in beside)
    html = page.read_text(encoding="utf-8")
    assert "connect-src 'none'" in html
    assert not re.search(r"@import|url\(\s*['\"]?https?:", html.split("</style>")[1])


def test_remarks_on_methods_are_shown(page):
    _, text = read(page)
    assert "Noisy: Trained for <seconds> only." in text


def test_the_page_has_its_parts(page):
    _, text = read(page)
    for wanted in (
        "14 of 14 cells",
        "Simulated data: these numbers test the benchmark",
        "Published numbers beside ours",
        "passed",
        "Holm-adjusted",
        "Normalised mutual information",
        "Peak memory",
        "no Inception weights",
        "128 × 128 pixels",
    ):
        assert wanted in text, wanted
    assert "Incomplete" not in text


def test_hostile_names_are_text_everywhere(finished, plan_of, tmp_path):
    labels = {"noisy": f"{HOSTILE}"[:40], "good": "<img src=x onerror=alert(1)>"}
    build_report(plan_of(finished, title=f"Toy {HOSTILE}", labels=labels), tmp_path, False)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script>alert(1)" not in html
    assert "<img src=x" not in html
    reader, text = read(tmp_path / "report.html")
    assert HOSTILE in text
    assert "onerror" not in reader.attributes
    for name in ("table.md", "figure.svg"):
        assert "<script>" not in (tmp_path / name).read_text()
        assert "<img" not in (tmp_path / name).read_text()


def test_an_incomplete_run_says_so_and_how_to_continue(copied, tmp_path):
    failed = next(cell for cell in copied.cells if cell.method == "blurry")
    write_json(copied.model_dir(failed) / "failure.json", {"error": "loss is <NaN>"})
    write_page(Report.read(copied, False), {}, tmp_path / "report.html")  # said even if nobody called it partial
    _, text = read(tmp_path / "report.html")
    assert "Incomplete: 13 of 14 cells." in text
    assert "failed: train: loss is <NaN>" in text
    assert "xmodbench run toy.yaml" in text


def test_a_partial_report_of_a_complete_run_counts_its_cells(finished, plan_of, tmp_path):
    write_page(Report.read(plan_of(finished), True), {}, tmp_path / "report.html")
    assert "Incomplete: 14 of 14 cells." in read(tmp_path / "report.html")[1]
