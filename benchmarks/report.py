"""A report as large as the paper's benchmark: how long it takes to build, how large it is, how soon it can be read.

Three data sets with the published numbers of test slices and subjects, both directions, nine methods: 54 cells of made-up
scores and translations at 128 pixels. Opened in Chromium, where there is one (Debian's chromium and chromium-driver).

    python benchmarks/report.py [--folder FOLDER] [--size 128]
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.report import synthetic
from xmodbench.files import REPOSITORY
from xmodbench.plan.plan import Cell, Plan

TEST = {"ixi": (25, 75), "goldatlas": (4, 227), "curious": (5, 216)}
"""Subjects and slices of the paper's test sets."""
MORE = ("fourth", "fifth")
CT, MR = "t1", {"normalise": {"t1": {}}}  # what is a CT in Gold Atlas' stand-in; settings of the others


def main() -> None:
    """Make the run, build its report, open it, and print a table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--folder", type=Path, help="where to make it, and to leave it")
    options.add_argument("--size", type=int, default=128, help="pixels")
    given = options.parse_args()
    folder = (given.folder or Path(tempfile.mkdtemp(prefix="xmodbench-report-"))).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        os.chdir(folder)
        if not (folder / "made").is_file():
            make(folder, given.size)
        measure(folder)
    finally:
        if given.folder is None:
            shutil.rmtree(folder, ignore_errors=True)


def measure(folder: Path) -> None:
    """Build and open the report."""
    plan = paper_size(folder)
    command = [sys.executable, "-m", "xmodbench", "report", "--config", plan.config.model_dump_json()]
    began = time.perf_counter()
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(REPOSITORY)})
    seconds, used = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    row("built in", f"{seconds:.1f} s, {used.ru_utime + used.ru_stime:.1f} s of CPU; {len(plan.cells)} cells")
    for name in ("report.html", "report_files", "figures", "report.zip"):
        path = plan.results / name
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        row(name, f"{sum(file.stat().st_size for file in files) / 1e6:.1f} MB in {len(files)} files")
    row("readable after", opened(plan.results / "report.html") if shutil.which("chromedriver") else "no Chromium here")


def row(name: str, value: str) -> None:
    """A line of the table."""
    print(f"| {name} | {value} |", flush=True)


def opened(page: Path) -> str:
    """Seconds until a browser has painted the first screen, and until tables and viewer answer."""
    from tests.report.browser import opened as browser

    with tempfile.TemporaryDirectory() as profile, browser(page, profile) as driver:
        script = (
            "const paint = performance.getEntriesByName('first-contentful-paint')[0]; const [load] = "
            "performance.getEntriesByType('navigation'); return [paint?.startTime, load.domContentLoadedEventEnd]"
        )
        driver.get(page.as_uri())
        began = time.perf_counter()
        driver.refresh()
        while not driver.execute_script(
            "return document.documentElement.dataset.tables && document.documentElement.dataset.plots"
        ):
            time.sleep(0.02)
        ready = time.perf_counter() - began
        paint, parsed = driver.execute_script(script)
    return f"{paint / 1000:.2f} s painted, {parsed / 1000:.2f} s parsed, {ready:.2f} s with tables, viewer and plots"


def paper_size(folder: Path) -> Plan:
    """The plan of the run."""
    from xmodbench.plan.config import parse_config

    methods = [*synthetic.METHODS, *MORE, *synthetic.CONTROLS]
    config = {
        "run": "paper-size",
        "datasets": {name: {"settings": synthetic.in_hu(CT) if name == "goldatlas" else MR} for name in TEST},
        "methods": {name: {} for name in methods},
        "paths": {part: str(folder / part) for part in ("raw", "data", "results", "work")},
        "scoring": {"bootstrap": 200},
        "report": {"title": "As large as the paper's"},
    }
    return Plan(parse_config(config, "paper-size.yaml"), "paper-size.yaml")


def make(folder: Path, size: int) -> None:
    """Plugins, data, translations and scores; the scores of a few slices are computed and drawn from for the rest."""
    write_plugins(folder)
    plan = paper_size(folder)
    for seed, name in enumerate(TEST):
        sets = data(plan, name, size, seed)
        for cell in (cell for cell in plan.cells if cell.dataset == name):
            images = answer(cell, sets)
            finish(plan, cell, images)
            print(f"made {cell.name}", file=sys.stderr)
    (folder / "made").touch()


def write_plugins(folder: Path) -> None:
    """The toy plugins, more of them."""
    from tests.plugins import write_dataset, write_method

    synthetic.write_plugins(folder, published=False)
    for name in TEST:
        meta = f"label: {name.title()} (made up)\nsummary: toy heads\n"
        write_dataset(folder, name, synthetic.DATASET.format(simulated=True), meta)
    for name in MORE:
        write_method(
            folder, name, synthetic.METHOD.format(supervision="ZERO_SHOT"), f"label: {name.title()}\nsummary: toy\n"
        )


def data(plan: Plan, name: str, size: int, seed: int) -> dict[str, dict[str, np.ndarray]]:
    """Stores of a data set, their records, and the arrays by split."""
    from xmodbench.data.download.fetched import ACQUIRED
    from xmodbench.records import RECORD, recorded

    subjects, slices = TEST[name]
    sets = {}
    for part, (people, wanted) in {"train": (3, 9), "test": (subjects, slices)}.items():
        images, names = synthetic.heads(people, -(-wanted // people), size, seed)
        sets[part] = {modality: stack[:wanted] for modality, stack in images.items()}
        synthetic.write_store(plan.data_dir(name) / part, sets[part], names[:wanted], synthetic.settings_of(plan, name))
    for verb, record in (("acquire", ACQUIRED), ("prepare", RECORD)):
        with recorded(plan.data_dir(name), verb, record, seed=1):
            pass
    return sets


def answer(cell: Cell, sets: dict[str, dict[str, np.ndarray]]) -> np.ndarray:
    """A method's translations."""
    kind = cell.method if cell.method not in MORE else "blurry"
    images = synthetic.answer(kind, sets["test"], sets["train"], cell.source, cell.target)
    return np.clip(images * (0.9 if cell.method in MORE else 1), 0, 1).astype(np.float32)


def finish(plan: Plan, cell: Cell, images: np.ndarray) -> None:
    """A cell's model, translations and scores, as their jobs leave them."""
    from xmodbench.records import recorded
    from xmodbench.store import SliceStore

    if model := plan.model_dir(cell):
        with recorded(model, "train", seed=1, device="cpu", n_train=9, isolation="landlock 7"):
            pass
    translation = plan.translation_dir(cell)
    subjects = SliceStore(plan.data_dir(cell.dataset) / "test").subjects
    synthetic.write_store(translation, {cell.target: images}, subjects)
    with recorded(translation, "translate", seed=1, device="cpu", n_test=len(images), isolation="landlock 7"):
        time.sleep(0.002 * (1 + hash(cell.method) % 7))
    synthetic.run_score(plan, cell)


if __name__ == "__main__":
    main()
