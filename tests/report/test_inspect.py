"""The page over a prepared data set shows every subject, what was found out and what was left out."""

import numpy as np
import pytest
from matplotlib.image import imread
from typer.testing import CliRunner

from xmodbench.cli import app
from xmodbench.errors import UserError
from xmodbench.inspection.montage import EDGE_COLOUR, TILE, montage
from xmodbench.inspection.page import inspect_dataset
from xmodbench.store import StoreWriter

REGISTERED = {"translation_mm": 1.25, "rotation_deg": 0.5, "nmi_before": 1.1, "nmi_after": 1.2, "coverage": 0.99}


def disc(radius, size=40):
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    return (np.hypot(x, y) < radius).astype(np.float32)


@pytest.fixture
def prepared(tmp_path):
    manifest = {
        "dataset": "heads",
        "simulated": True,
        "excluded": [{"subject": "<b>p9</b>", "reason": "no pd"}],
        "volumes": {"p0": {"registration": {"t1": {**REGISTERED, "accepted": True}}}},
    }
    for split, subjects in (("train", ("p0", "p/1")), ("test", ("p2",))):
        with StoreWriter(tmp_path / "data/heads" / split, ["pd", "t1"], (40, 40), manifest) as writer:
            for subject in subjects:
                for n in range(9):
                    images = {"pd": disc(0.3 + n / 20), "t1": 0.5 * disc(0.3 + n / 20)}
                    writer.add(images, id=f"{subject}_{n}", subject=subject, site="a", position_mm=float(n))
    return tmp_path


def test_the_page_shows_every_subject(prepared, monkeypatch):
    monkeypatch.chdir(prepared)
    done = CliRunner().invoke(app, ["inspect", "heads"])
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == "results/inspect/heads/index.html"
    page = (prepared / "results/inspect/heads/index.html").read_text()
    assert "Simulated data" in page
    assert "&lt;b&gt;p9&lt;/b&gt;: no pd" in page and "<b>p9" not in page
    assert "<td>1.1</td><td>1.2</td><td>1.25</td>" in page
    assert "9 slices from 0.0 to 8.0 mm" in page
    for name in ("train-p0", "train-p-1", "test-p2"):
        assert f'src="{name}.png"' in page
        picture = imread(prepared / "results/inspect/heads" / f"{name}.png")
        assert picture.shape[:2] == (3 * (TILE + 2), 6 * (TILE + 2))


def test_edges_of_the_first_lie_on_the_second():
    picture = montage({"a": disc(0.6, TILE)[None], "b": 0.5 * disc(0.6, TILE)[None]})
    edge = (picture[2 * (TILE + 2) :, :TILE][:TILE] == EDGE_COLOUR).all(-1)
    y, x = np.nonzero(edge)
    radius = np.hypot(y - (TILE - 1) / 2, x - (TILE - 1) / 2)
    assert len(radius) > 100
    assert np.abs(radius - 0.6 * TILE / 2).max() < 2.5


def test_what_is_not_prepared_is_said(tmp_path, quiet):
    with pytest.raises(UserError, match="no slice store here"):
        inspect_dataset(tmp_path / "data/none", tmp_path / "out", quiet)
