"""A finished run made from small arrays with known structure, scored by the real score stage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from tests.plugins import few_shot, write_dataset, write_method
from xmodbench.data.download.fetched import ACQUIRED
from xmodbench.plan.config import parse_config
from xmodbench.plan.plan import Plan
from xmodbench.records import RECORD, recorded
from xmodbench.stages.score import score
from xmodbench.store import SliceStore, StoreWriter

DATASET = """
from xmodbench.data.volumes.settings import Preparation
class Toy(Dataset):
    simulated = {simulated}
    Config = Preparation
    def modalities(self): return ("pd", "t1")
    def acquire(self, raw_dir, seed, progress): pass
    def volumes(self, raw_dir): return []
"""
METHOD = """
class Toy(Method):
    supervision = Supervision.{supervision}
    def fit(self, train, run): pass
    def save(self, directory): pass
    def load(self, directory, run): pass
    def translate(self, source, generators): return source
"""
# background, grey, white, fluid, skull
CONTRASTS = {"pd": [0, 0.8, 0.6, 0.95, 0.3], "t1": [0, 0.5, 0.75, 0.15, 0.9]}
CONTROLS = {"oracle": "target", "copy_source": "source", "mean_image": "mean", "shuffled_target": "shuffled"}
NOTES = {"noisy": "Trained for <seconds> only."}
METHODS = {"good": "ZERO_SHOT", "blurry": "PAIRED", "noisy": "FEW_SHOT"}


def heads(subjects: int, slices: int, size: int, seed: int) -> tuple[dict[str, np.ndarray], list[str]]:
    """Simple heads in two contrasts, [N, size, size] each, and the subject of each slice."""
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[-1 : 1 : 1j * size, -1 : 1 : 1j * size]
    images, names = {"pd": [], "t1": []}, []
    for subject in range(subjects):
        a, b, tilt = 0.72 + 0.06 * rng.standard_normal(3).clip(-2, 2)
        for level in np.linspace(-0.3, 0.3, slices):
            x, y = xx + 0.2 * (tilt - 0.72) * yy, yy
            skull = (x / a) ** 2 + (y / (b * 1.2)) ** 2
            folds = 0.06 * np.sin(9 * np.arctan2(y, x) + 7 * rng.random())
            white = (x / (a * 0.62)) ** 2 + (y / (b * 0.75)) ** 2 < 1 + 3 * folds
            csf = ((np.abs(x) - 0.1) / 0.06) ** 2 + ((y - level / 3) / 0.3) ** 2 < 1
            labels = np.select([csf, white, skull < 0.85, skull < 1], [3, 2, 1, 4], 0)
            noise = 0.02 * rng.standard_normal((2, size, size))
            for name, table, grain in (
                ("pd", [0, 0.8, 0.6, 0.95, 0.3], noise[0]),
                ("t1", [0, 0.5, 0.75, 0.15, 0.9], noise[1]),
            ):
                image = gaussian_filter(np.array(table)[labels], 0.6) + grain * (labels > 0)
                images[name].append(np.clip(image, 0, 1).astype(np.float32))
            names.append(f"sub{subject:02d}")
    return {name: np.stack(stack) for name, stack in images.items()}, names


def write_store(folder: Path, images: dict[str, np.ndarray], subjects: list[str], settings: dict | None = None) -> Path:
    """A slice store of the images; with settings of a preparation, one that keeps what 0 and 1 stood for by them."""
    manifest, columns = {"dataset": "toy"}, {}
    if settings is not None:
        manifest["settings"] = settings
        for name in images:
            how = settings["normalise"].get(name, {})
            low, high = (how["low"], how["high"]) if how.get("method") == "window" else (0.0, 800.0)
            columns |= {f"{name}_low": low, f"{name}_high": high}
    with StoreWriter(folder, images, next(iter(images.values())).shape[1:], manifest) as writer:
        for index, subject in enumerate(subjects):
            row = {
                "id": f"{subject}_{index:03d}",
                "subject": subject,
                "site": "a",
                "position_mm": float(index),
            } | columns
            writer.add({name: stack[index] for name, stack in images.items()}, **row)
    return folder


def answer(
    method: str, test: dict[str, np.ndarray], train: dict[str, np.ndarray], source: str, target: str, seed: int = 0
) -> np.ndarray:
    """The translations of a toy method: what it gets right and wrong is known. With a seed it is wrong by more or less."""
    real, given, rng = test[target], test[source], np.random.default_rng(5 + seed)
    more = 1 + 0.1 * seed
    toy = {
        "good": lambda: gaussian_filter(real, (0, 0.6, 0.6)) + 0.02 * more * rng.standard_normal(real.shape),
        "blurry": lambda: gaussian_filter(0.8 * real + 0.2 * given, (0, 2.5, 2.5)),
        "noisy": lambda: 0.7 * real + 0.3 * given + 0.12 * more * rng.standard_normal(real.shape),
        "oracle": lambda: real,
        "copy_source": lambda: given,
        "mean_image": lambda: np.broadcast_to(train[target].mean(0), real.shape),
        "shuffled_target": lambda: np.roll(real, len(real) // 2, axis=0),
    }
    return np.clip(toy[method](), 0, 1).astype(np.float32)


def write_plugins(root: Path, *, published: bool = True) -> None:
    """The toy plugins below the working folder `root`."""
    places = (
        "published: {name: IXI, modalities: {pd: PD, t1: T1}, settings: {image_size: 64}, unlike: {split: not said}}\n"
    )
    places += "slices_published: {test: {subjects: 25, pairs: 75}}\n"
    for name, simulated in (("heads", False), ("sim_heads", True)):
        meta = f"label: {name.replace('_', ' ').title()}\nsummary: toy heads\n" + (places if published else "")
        write_dataset(root, name, DATASET.format(simulated=simulated), meta)
    labels = {"good": "Good & <careful>", "blurry": "Blurry", "noisy": "Noisy"}
    for name, supervision in METHODS.items():
        stands = "published: MIDiffusion\n" if name == "good" else ""
        meta = f"label: '{labels[name]}'\nsummary: toy\n{stands}"
        body = few_shot(METHOD.format(supervision="ZERO_SHOT"))
        if supervision != "FEW_SHOT":
            body = METHOD.format(supervision=supervision)
        write_method(root, name, body, meta)
    for name, role in CONTROLS.items():
        meta = f"label: {name.replace('_', ' ').title()}\nsummary: toy\nanswers: {role}\n"
        meta += "" if role == "shuffled" else "deterministic: true\n"
        write_method(root, name, METHOD.format(supervision="CONTROL"), meta)


def in_hu(modality: str) -> dict:
    """A data set's settings by which a modality is a CT."""
    return {"normalise": {modality: {"method": "window", "low": -1000.0, "high": 1000.0}}}


def make_plan(
    root: Path,
    *,
    datasets=("heads", "sim_heads"),
    directions=None,
    labels=None,
    seeds=None,
    metrics=(),
    hu=None,
    **report,
) -> Plan:
    """The plan of a toy run whose files are below `root`; `labels` by method replace the plugins' own, `hu` is a CT."""
    config = {
        "seeds": seeds,
        "run": "toy",
        "datasets": {name: {"directions": directions, "settings": in_hu(hu) if hu else {}} for name in datasets},
        "methods": {
            name: {"label": (labels or {}).get(name), "note": NOTES.get(name)} for name in [*METHODS, *CONTROLS]
        },
        "paths": {part: str(root / part) for part in ("raw", "data", "results", "work")},
        "scoring": {"bootstrap": 200, "metrics": list(metrics)},
        "report": {"figures": False} | report,
    }
    return Plan(parse_config(config, "toy.yaml"), "toy.yaml")


def seeded_plan(root: Path) -> Plan:
    """The plan of a toy run of one data set and direction with three seeds."""
    return make_plan(root, datasets=("heads",), directions=["pd->t1"], seeds=[1, 2, 3])


def finish(plan: Plan, *, subjects: int = 7, slices: int = 3, size: int = 64, skip=()) -> Plan:
    """Write data, models, translations and scores of all cells but those of the methods in `skip`."""
    sets = {}
    for seed, name in enumerate(plan.config.datasets):
        for part, count in (("train", subjects + 3), ("test", subjects)):
            sets[name, part], names = heads(count, slices, size, seed=10 * seed + (part == "test"))
            write_store(plan.data_dir(name) / part, sets[name, part], names, settings_of(plan, name))
        for verb, record in (("acquire", ACQUIRED), ("prepare", RECORD)):
            with recorded(plan.data_dir(name), verb, record, seed=1):
                pass
    for cell in plan.runs:
        if cell.method in skip:
            continue
        model, translation, seed = plan.model_dir(cell), plan.translation_dir(cell), plan.seed_of(cell)
        if model:
            with recorded(
                model, "train", seed=seed, device="cpu", n_train=30, code_hash="0" * 32, isolation="landlock 7"
            ):
                pass
        test, train = sets[cell.dataset, "test"], sets[cell.dataset, "train"]
        images = answer(cell.method, test, train, cell.source, cell.target, seed - 1)
        names = SliceStore(plan.data_dir(cell.dataset) / "test").slices["subject"].tolist()
        write_store(translation, {cell.target: images}, names)
        with recorded(translation, "translate", seed=seed, device="cpu", n_test=len(images), isolation="landlock 7"):
            pass
        run_score(plan, cell)
    return plan


def settings_of(plan: Plan, name: str) -> dict | None:
    """The settings of a data set's preparation where they say how intensities are mapped."""
    settings = plan.prepared(name)["settings"]
    return settings if settings["normalise"] else None


def run_score(plan: Plan, cell) -> None:
    """The real score stage for one cell."""
    data = plan.data_dir(cell.dataset)
    score(
        plan.translation_dir(cell),
        data / "test",
        data / "train",
        cell.source,
        cell.target,
        plan.scores_file(cell),
        plan.config.scoring,
        seed=1,
    )


def show() -> None:
    """Build a toy run below the folder given on the command line and its report, for looking at."""
    import os
    import sys

    from xmodbench.report import build_report

    root = Path(sys.argv[1])
    root.mkdir(parents=True, exist_ok=True)
    os.chdir(root)
    write_plugins(root)
    seeds = [1, 2, 3] if "seeds" in sys.argv[3:] else None
    plan = make_plan(root, title="Toy heads <script>alert(1)</script>", seeds=seeds)
    if not plan.scores_file(plan.cells[-1]).is_file():
        finish(plan, size=int(sys.argv[2]) if len(sys.argv) > 2 else 64)
    build_report(plan, plan.results, False)


if __name__ == "__main__":
    show()
