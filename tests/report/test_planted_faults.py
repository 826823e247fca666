"""Faults planted in metrics, pairs and images: each trips a check of the report by its name, and sound runs trip none."""

from __future__ import annotations

import shutil
from functools import partial

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from tests.report import synthetic
from xmodbench.metrics import paired
from xmodbench.metrics.registry import DISTANCES
from xmodbench.plan.plan import Cell
from xmodbench.report.model import Report
from xmodbench.stages import score as stage
from xmodbench.store import SliceStore

CELL = Cell("good", "heads", "pd", "t1")
ORACLE, COPY = (Cell(name, "heads", "pd", "t1") for name in ("oracle", "copy_source"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The plan of a sound run, whose cells are scored anew by whoever plants something in them."""
    root = tmp_path_factory.mktemp("planted")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("FID_WEIGHTS", raising=False)
        synthetic.write_plugins(root)
        plan = synthetic.make_plan(root, datasets=("heads",), directions=["pd->t1"])
        yield synthetic.finish(plan, subjects=5, slices=3, size=48, skip=("blurry", "noisy"))


def tripped(plan):
    """Control or method and name of the checks that fail."""
    return {(check.control, check.metric) for check in Report.read(plan, partial=True).checks if check.passed is False}


@pytest.fixture
def mended(run, tmp_path, monkeypatch):
    """Whatever a test does to translations, scores and test slices is taken back; distances take long and are left out."""
    monkeypatch.setattr(
        stage, "distances", lambda *_: {name: {"value": None, "reason": "left out"} for name in DISTANCES}
    )
    touched = [run.results, run.data_dir("heads") / "test"]
    for place in touched:
        shutil.copytree(place, tmp_path / place.name)
    yield
    for place in touched:
        shutil.rmtree(place)
        shutil.copytree(tmp_path / place.name, place)


@pytest.fixture
def planted(run, mended):
    """Score a cell with other images: `planted(images -> images)` gives the checks that fail."""

    def plant(change):
        store = SliceStore(run.translation_dir(CELL))
        images = change(np.array(store.array("t1"))).astype(np.float32)
        synthetic.write_store(run.translation_dir(CELL), {"t1": images}, store.subjects)
        synthetic.run_score(run, CELL)
        return tripped(run)

    return plant


def test_a_sound_run_trips_nothing(run):
    checks = Report.read(run, partial=True).checks
    assert {check.passed for check in checks} == {True}
    names = {"probe", "psnr", "order", "turn", "offset", "scale", "wrap", "identity"}
    assert names <= {check.metric for check in checks}


GOOD = "Good & <careful>"


def wrapped(images):
    """Too bright by a third, in whole numbers of 8 bits that run over."""
    return (images * 1.35 * 255).astype(np.uint16).astype(np.uint8) / 255


def exchanged(images):
    """The images of the first subjects in the place of the last ones'."""
    return np.roll(images, 6, axis=0)


def one_slice_off(images):
    """Within each subject of three slices, every image in the place of the next."""
    order = np.arange(len(images)).reshape(-1, 3)
    return images[np.roll(order, 1, axis=1).ravel()]


IMAGES = {
    "rolled down": (partial(np.roll, shift=5, axis=1), "offset"),
    "rolled right": (partial(np.roll, shift=-3, axis=2), "offset"),
    "rolled both ways": (partial(np.roll, shift=(3, 4), axis=(1, 2)), "offset"),
    "flipped left to right": (lambda images: images[:, :, ::-1], "turn"),
    "flipped upside down": (lambda images: images[:, ::-1], "turn"),
    "transposed": (lambda images: images.transpose(0, 2, 1), "turn"),
    "halved": (lambda images: images / 2, "scale"),
    "divided by four": (lambda images: images / 4, "scale"),
    "too bright by a third, running over in 8 bits": (wrapped, "wrap"),
    "exchanged between subjects": (exchanged, "order"),
    "in reversed order": (lambda images: images[::-1], "order"),
    "a slice off within their subjects": (one_slice_off, "order"),
}


def images_planted():
    """A row of docs/evaluation.md for each."""
    return [
        pytest.param(fault, marks=pytest.mark.planted(f"a method's images {fault}", f"`{check}`"))
        for fault, (_, check) in IMAGES.items()
    ]


@pytest.mark.parametrize("fault", images_planted())
def test_what_was_done_to_one_methods_images(planted, fault):
    change, name = IMAGES[fault]
    found = {check for control, check in planted(change) if control == GOOD}
    assert found == {name}


@pytest.mark.planted("a method's images are their sources", "`identity`")
def test_its_source_in_place_of_a_translation(run, planted):
    source = SliceStore(run.data_dir("heads") / "test").array("pd")
    assert (GOOD, "identity") in planted(lambda images: np.array(source))


@pytest.mark.planted("a method's images are their targets, so that it equals the oracle", "`paper.mse`")
def test_the_oracles_images_as_a_methods_own(run, planted):
    truth = SliceStore(run.data_dir("heads") / "test").array("t1")
    assert (GOOD, "paper.mse") in planted(lambda images: np.array(truth))


POOR = {
    "noise": lambda images: np.random.default_rng(0).random(images.shape),
    "one image for all": lambda images: np.repeat(images.mean(0, keepdims=True), len(images), axis=0),
    "faint on grey": lambda images: 0.5 + 0.1 * images,
    "blurred": lambda images: gaussian_filter(images, (0, 4, 4)),
    "much noise on it": lambda images: np.clip(
        images + 0.3 * np.random.default_rng(0).standard_normal(images.shape), 0, 1
    ),
    "inverted": lambda images: 1 - images,
}


@pytest.mark.parametrize("kind", POOR)
def test_poor_images_are_no_fault(planted, kind):
    assert planted(POOR[kind]) == set()


# -- metrics and pairs, wrong for all ---------------------------------------------------------------------------------------
@pytest.fixture
def rescored(run, mended):
    """Score cells with the metrics as a test has changed them."""

    def again():
        for cell in (CELL, ORACLE, COPY):
            synthetic.run_score(run, cell)
        return tripped(run)

    return again


@pytest.mark.planted("SSIM with L = 2 in place of the definition's", "`probe`")
def test_ssim_with_a_range_of_2(rescored, monkeypatch):
    right = paired.structural_similarity
    monkeypatch.setattr(paired, "structural_similarity", lambda *a, **k: right(*a, **{**k, "data_range": 2.0}))
    assert rescored() == {("Metrics", "probe")}


@pytest.mark.planted("the paper's SSIM with L = 255", "`probe`")
def test_ssim_of_floats_with_the_papers_range_replaced(rescored, monkeypatch):
    monkeypatch.setattr(paired, "ssim_skimage019_float", paired.ssim_uint8)
    assert rescored() == {("Metrics", "probe")}


@pytest.mark.planted("PSNR with another peak", "`probe`, `psnr`")
@pytest.mark.parametrize("wrong", [{1.0: 2.0}, {1.0: 0.99}, {255.0: 256.0}])
def test_psnr_with_another_peak(rescored, monkeypatch, wrong):
    right = paired.psnr
    monkeypatch.setattr(paired, "psnr", lambda mse, peak: np.minimum(right(mse, wrong.get(peak, peak)), 100.0))
    assert rescored() >= {("Metrics", "probe"), ("PSNR", "psnr")}


@pytest.mark.planted(
    "source and target exchanged in scoring", "`paper.mse` of the oracle, `paper.ssim_src` of the copy of the source"
)
def test_source_and_target_exchanged(rescored, monkeypatch):
    right = stage.score_images
    monkeypatch.setattr(stage, "score_images", lambda image, target, source: right(image, source, target))
    found = rescored()
    assert {("Oracle", "paper.mse"), ("Copy Source", "paper.ssim_src")} <= found


@pytest.mark.planted(
    "pairs of source and target shifted by a slice, or shuffled between subjects", "`order` of the copy of the source"
)
@pytest.mark.parametrize("change", [one_slice_off, exchanged], ids=["shifted", "shuffled"])
def test_pairs_in_the_store(run, rescored, change):
    store = SliceStore(run.data_dir("heads") / "test")
    images = {name: np.array(store.array(name)) for name in ("pd", "t1")}
    images["pd"] = change(images["pd"])
    synthetic.write_store(store.directory, images, store.subjects)
    synthetic.write_store(run.translation_dir(COPY), {"t1": images["pd"]}, store.subjects)
    assert ("Copy Source (pairs of source and target)", "order") in rescored()


@pytest.mark.planted("a method better than the oracle in some metric", "that metric, of the oracle")
def test_a_method_better_than_the_oracle(run):
    report = Report.read(run, partial=True)
    for item in report.results:
        if item.cell == CELL:
            item.scores["standard.mi"] += 5
    assert ("Oracle", "standard.mi") in {(c.control, c.metric) for c in report.checks if c.passed is False}
