"""A report comes whatever lies in the results folder; a command that cannot go on says so in one line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.plugins import write_method
from tests.report import synthetic
from tests.report.test_page import read
from xmodbench.files import REPOSITORY, read_json, sha256_file, write_json
from xmodbench.plan.config import parse_config
from xmodbench.plan.plan import Plan
from xmodbench.report import build_report, figure, page
from xmodbench.report.collect import collect_cell
from xmodbench.report.markdown import write_markdown
from xmodbench.report.model import Report
from xmodbench.report.page import write_page
from xmodbench.report.tables import long_table


def fault(case, outcome):
    return pytest.mark.fault("report and command line", case, outcome)


EVIL = "\"'><evil-tag onfocus=evil()>"
UNKIND = (EVIL + "</script><evil-tag>{{ 7 * 7 }}", "a\nb\tc | Ünï \u202e `*_[x](y) {% raw %}" + r" $\frac{1}{$")


def change(path, **values):
    write_json(path, read_json(path) | values)


def replace_in(path, old, new):
    path.write_text(path.read_text().replace(old, new))


def with_strings(plan, text):
    """Put `text` wherever a person, a file name, a plugin or an old record could have put it."""
    quoted = '"' + text.replace('"', '""') + '"'
    for cell in plan.cells:
        scores = plan.scores_file(cell)
        replace_in(scores, ",sub00,a,", f",{quoted},{quoted},")
        record = scores.with_name(f"{scores.stem}.record.json")
        change(record, scores_sha256=sha256_file(scores), versions={text: text})
        ran = {name: text for name in ("device", "isolation", "started", "seed", "code_sha256")}
        made = plan.model_dir(cell) or plan.translation_dir(cell)
        change(made / "record.json", **ran, looked_for=[text], data_sha256={text: text})
    for split in ("train", "test"):
        store = plan.data_dir("heads") / split
        replace_in(store / "slices.csv", ",sub00,a,", f",{quoted},{quoted},")
        replace_in(store / "slices.csv", "sub01_", f"{text.splitlines()[0].replace(chr(34), '').replace(',', '')}_")
        volumes = {text: {"headers": {text: text}}}
        excluded = [{"subject": text, "reason": text}]
        change(
            store / "manifest.json", dataset=text, volumes=volumes, excluded=excluded, settings={"slices": {text: text}}
        )
    write_json(plan.model_dir(plan.cells[1]) / "failure.json", {"error": text})


@fault(
    "HTML, quotes, mathematics, line breaks or umlauts in labels, notes, titles, subjects, settings, records or errors",
    "text like other text, in page, tables and figure",
)
@pytest.mark.parametrize("text", UNKIND)
def test_every_string_is_text(copied, plan_of, tmp_path, text):
    root = tmp_path / "copy"
    write_method(
        root, "own", synthetic.METHOD.format(supervision="ZERO_SHOT"), f"label: {json.dumps(EVIL)}\nsummary: b\n"
    )
    with_strings(copied, text)
    plan = plan_of(root, title=text, labels={"noisy": text[:40]}, datasets=("heads",))
    values = json.loads(plan.config.model_dump_json())
    values["methods"]["noisy"]["note"] = text
    values["methods"]["own"] = {"label": None}
    plan = Plan(parse_config(values, "c.yaml"), text)
    build_report(plan, tmp_path / "out", True)
    reader, seen = read(tmp_path / "out/report.html")
    assert not any("evil" in tag for tag in reader.tags) and "onfocus" not in reader.attributes
    html = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "<evil" not in html
    assert " ".join(text.split()) in seen
    assert "<evil" not in (tmp_path / "out/table.md").read_text() + (tmp_path / "out/figure.svg").read_text()
    columns = {
        line.count("|") for line in (tmp_path / "out/table.md").read_text().splitlines() if line.startswith("| Noisy")
    }
    assert len(columns) <= 1


def many(plan, n):
    """The plan of a direction with `n` methods, of which those of the finished run are done."""
    values = json.loads(plan.config.model_dump_json())
    values["datasets"] = {"heads": values["datasets"]["heads"]}
    values["methods"] |= {f"m{number:03d}": {"plugin": "noisy", "label": f"No. {number}"} for number in range(n)}
    return Plan(parse_config(values, "c.yaml"), "c.yaml")


@fault("5,000 rows", "a page of them all, in seconds")
def test_many_rows(copied, tmp_path):
    report = Report.read(many(copied, 380), True)
    write_page(report, {}, tmp_path / "report.html")
    write_markdown(report, tmp_path / "table.md")
    assert len(long_table(report)) > 6000
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    rows = html.partition('<table id="all"')[2].partition("</table>")[0].count("<tr>")
    assert rows > 5000
    assert (tmp_path / "report.html").stat().st_size < 20e6


@fault("more methods or pairs of them than a picture or a browser can hold", "the first are shown, and it is said")
def test_more_than_can_be_shown(copied, tmp_path, monkeypatch):
    monkeypatch.setattr(figure, "MOST_METHODS", 2)
    monkeypatch.setattr(page, "MOST_PAIRS", 5)
    build_report(copied, tmp_path, False)
    assert "1 more methods are in the tables" in (tmp_path / "figure.svg").read_text()
    _, seen = read(tmp_path / "report.html")
    pairs = len(json.loads((tmp_path / "table.json").read_text())["comparisons"])
    assert pairs > 5 and f"{pairs} pairs, the first 5 of them; all are in table.json" in seen


@fault(
    "translations, test slices or pictures of a training that are gone or damaged",
    "the report comes without them, and says so",
)
def test_pictures_that_are_not_there(copied, tmp_path):
    first, second, third = copied.cells[:3]
    shutil.rmtree(copied.translation_dir(first))
    os.truncate(copied.translation_dir(second) / "t1.npy", 200)
    (copied.model_dir(third) / "snapshots").mkdir()
    (copied.model_dir(third) / "snapshots/step-x.png").write_bytes(b"")
    (copied.model_dir(third) / "loss.png").write_bytes(b"")
    os.truncate(copied.data_dir("sim_heads") / "test/t1.npy", 200)
    change(copied.data_dir("heads") / "train/manifest.json", volumes={"sub00": 3})
    build_report(copied, tmp_path / "out", False)
    html = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "14 of 14 cells" in html and html.count('<figure>\n<a href="report_files/pictures/') == 2
    assert "sim_heads/test/t1.npy: cannot be read" in html
    assert "the manifest or slices.csv holds what preparing does not write" in html
    shutil.rmtree(copied.data_dir("heads"))
    shutil.rmtree(copied.data_dir("sim_heads"))
    build_report(copied, tmp_path / "out", False)
    assert "14 of 14 cells" in (tmp_path / "out/report.html").read_text(encoding="utf-8")


@fault("one method, and no control", "a report without comparisons and ranks, which says what is missing")
def test_one_method(copied, tmp_path):
    values = json.loads(copied.config.model_dump_json())
    values["methods"] = {"good": values["methods"]["good"]}
    write_page(Report.read(Plan(parse_config(values, "c.yaml"), "c.yaml"), False), {}, tmp_path / "report.html")
    _, seen = read(tmp_path / "report.html")
    assert "2 of 2 cells" in seen and "This run has no controls" in seen and "Comparisons" not in seen


@fault("a record with texts for numbers, or without them", "it counts as none; the page shows a dash")
@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ({"duration_s": "long"}, False),
        ({"duration_s": float("1e999")}, False),
        ({"duration_s": -1}, False),
        ({"peak_memory_mb": "much"}, False),
        ({"peak_memory_mb": {"cpu": None}}, False),
        ({"n_test": "many"}, False),
        ({"parts_duration_s": [3]}, False),
        ({"duration_s": None}, False),
        ({}, True),
    ],
)
def test_records_hold_numbers(copied, tmp_path, values, kept):
    cell = copied.cells[0]
    path = copied.translation_dir(cell) / "record.json"
    record = read_json(path) | values
    if kept:  # one of long ago
        for name in ("duration_s", "peak_memory_mb", "started"):
            del record[name]
    path.write_text(json.dumps(record))
    assert ("translate" in collect_cell(copied, cell).records) is kept
    if kept:
        write_page(Report.read(copied, False), {}, tmp_path / "report.html")


@fault("a record or failure that is a folder, no UTF-8, or holds half a character", "told with its cell")
def test_failures_that_cannot_be_read(copied, tmp_path):
    harms = [
        lambda path: path.write_bytes(b"\xff"),
        lambda path: path.write_text('{"error": "\\udcff"}'),
        lambda path: path.write_text('{"error": "\\u0000\\u001b[31m' + "x" * 10000 + '"}'),
        lambda path: path.write_text("[" * 100000),
        lambda path: path.with_name("record.json").unlink() or path.with_name("record.json").mkdir(),
    ]
    trained = [cell for cell in copied.cells if copied.model_dir(cell)]
    for harm, cell in zip(harms, trained, strict=False):
        harm(copied.model_dir(cell) / "failure.json")
    build_report(copied, tmp_path, True)
    for cell in trained[:4]:
        found = collect_cell(copied, cell)
        assert found.status == "failed" and found.reason.startswith("train: ") and found.reason.isprintable()
    assert "train" not in collect_cell(copied, trained[4]).records


# -- the command line -------------------------------------------------------------------------------------------------------
def xmodbench(*arguments, cwd, **options):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "xmodbench", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, stderr=subprocess.PIPE, text=True, check=False, env=environment, **options)


@fault("no arguments", "the help, and an exit code that is not zero")
def test_no_arguments(tmp_path):
    done = xmodbench(cwd=tmp_path, stdout=subprocess.PIPE)
    assert done.returncode == 2 and "Usage: " in done.stdout + done.stderr


@fault("whoever reads the output stops reading", "no traceback")
def test_a_closed_pipe(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    done = xmodbench("plugins", cwd=tmp_path, stdout=writer)
    os.close(writer)
    assert done.returncode == 1 and len(done.stderr.splitlines()) <= 1 and "Traceback" not in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="has no full device")
@fault("the disk is full, or what is in the way of the output is no folder", "one line names it")
def test_output_that_cannot_be_written(tmp_path):
    with open("/dev/full", "w") as full:
        done = xmodbench("plugins", cwd=tmp_path, stdout=full)
    assert (done.returncode, done.stderr) == (1, "xmodbench: error: No space left on device\n")
    (tmp_path / "file").write_text("")
    config = '{"run": "r", "datasets": {"sim_ixi": {}}, "methods": {"oracle": {}}}'
    done = xmodbench("report", "--config", config, "--out", tmp_path / "file", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, f"xmodbench: error: {tmp_path / 'file'}: File exists\n")


@fault("half a config as JSON, or a name with control characters", "one line, readable on any terminal")
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["report", "--config", '{"run'], "--config: not valid JSON"),
        (["check", "\x1b[31m\na"], r"\x1b[31m a: no plugin and no config of this name"),
        (["check", "x" * 300], "File name too long"),
    ],
)
def test_hostile_arguments(tmp_path, arguments, expected):
    done = xmodbench(*arguments, cwd=tmp_path)
    assert done.returncode == 1 and expected in done.stderr
    assert done.stderr.count("\n") == 1 and done.stderr.strip().isprintable()
