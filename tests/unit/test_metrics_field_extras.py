"""What is asked for beside the field's numbers: there where it can be had, else with its reason."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from xmodbench.data.volumes.grids import Grid
from xmodbench.errors import UserError
from xmodbench.files import sha256_file
from xmodbench.metrics.field.measure import UNKNOWN, measure_field
from xmodbench.plan.config import Scoring, parse_config

SIZE = 32
PROGRAM = """#!{python}
import gzip, struct, sys
import numpy as np
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
if {fails}:
    sys.exit("no weights, and no network")
content = gzip.decompress(open(given["-i"], "rb").read())
assert "--ml" in sys.argv and sys.argv[sys.argv.index("--task") + 1] == {task!r}
values = np.frombuffer(content, np.float32, offset=352)
labels = (values > 0).astype(np.uint8) + (values > 500)
header = content[:70] + struct.pack("<hh", 2, 8) + content[74:352]
open(given["-o"], "wb").write(gzip.compress(header + labels.astype(np.uint8).tobytes()))
"""


def direction(*, gap: int = 1, hu: bool = True, size: int = SIZE):
    """Translations, targets and sources, rows, and manifest of one subject's CT."""
    target = np.zeros((4, size, size), np.float32)
    target[:, 4:-4, 4:-4], target[:, 10:16, 10:16] = 0.55, 0.9
    made = target.copy()
    made[:, 10:16, 10:13] = 0.55  # half of what is above 500 HU is missing
    image = sitk.Image(size, size, 3 * gap + 1, sitk.sitkFloat32)
    grid = Grid.of(image).facts()
    facts = {"grid": grid, "plane": "axial", "crop": {"top": 0, "left": 0, "height": size, "width": size}, "scans": {}}
    normalise = {"ct": {"method": "window", "low": -1000, "high": 1000}} if hu else {}
    manifest = {"settings": {"normalise": normalise}, "volumes": {"s0": facts}}
    ends = {"ct_low": "-1000.0", "ct_high": "1000.0", "mr_low": "0.0", "mr_high": "500.0"}
    places = [{"index": str(gap * n), "position_mm": str(gap * n * 3.0)} for n in range(4)]
    rows = [{"id": f"s0_{n}", "subject": "s0", **place, **ends} for n, place in enumerate(places)]
    return (made, target, 1 - target), rows, manifest


def without(rows: list[dict[str, str]], column: str) -> list[dict[str, str]]:
    return [{name: value for name, value in row.items() if name != column} for row in rows]


def measured(extra: list[str], given=None, **settings):
    images, rows, manifest = given or direction()
    return measure_field(images, rows, manifest, ("ct", "mr"), Scoring(extra=extra, **settings))


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Put a stand-in for TotalSegmentator on the path: `program(task="total", fails=False)`."""

    def write(task: str = "total", fails: bool = False):
        import sys

        path = tmp_path / "bin" / "TotalSegmentator"
        path.parent.mkdir(exist_ok=True)
        path.write_text(PROGRAM.format(python=sys.executable, task=task, fails=fails))
        path.chmod(0o755)
        monkeypatch.setenv("PATH", str(path.parent))

    return write


def test_organs_overlap_each_weighing_the_same(program):
    program()
    # the larger organ gains 6 x 3 pixels of its 24 x 24 - 36, the smaller keeps half
    large = 2 * 540 / (540 + 558)
    assert measured(["totalsegmentator"]).volumes["s0"]["volume.dice_organs"] == pytest.approx(
        (large + 2 / 3) / 2, abs=1e-6
    )


def test_mr_is_segmented_as_mr(program):
    program(task="total_mr")
    found = measured(["totalsegmentator"], direction(hu=False))
    assert found.volumes["s0"]["volume.dice_organs"] is not None and not found.absent


def test_where_the_program_is_not_there_the_column_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = measured(["totalsegmentator"])
    assert "is not installed" in found.absent["volume.dice_organs"]
    assert "volume.dice_organs" not in found.volumes["s0"] and found.volumes["s0"]["volume.dice_bone"] < 1


def test_slices_with_gaps_are_no_volume(program):
    program()
    assert "gaps" in measured(["totalsegmentator"], direction(gap=5)).absent["volume.dice_organs"]


@pytest.mark.fault("metrics and statistics", "TotalSegmentator fails", "one line with what it said last")
def test_a_failing_program_is_told(program):
    program(fails=True)
    with pytest.raises(UserError, match="TotalSegmentator failed: no weights, and no network"):
        measured(["totalsegmentator"])


@pytest.fixture(scope="module")
def alexnet(tmp_path_factory):
    """AlexNet weights made up, as torchvision's file has them."""
    import torch

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "alexnet.pth"
    torch.save({f"features.{name}": value for name, value in layers().state_dict().items()}, path)
    return path


def layers():
    """AlexNet's convolutions (Krizhevsky 2014) without what follows them."""
    from torch import nn

    shapes = {
        0: (3, 64, 11, 4, 2),
        3: (64, 192, 5, 1, 2),
        6: (192, 384, 3, 1, 1),
        8: (384, 256, 3, 1, 1),
        10: (256, 256, 3, 1, 1),
    }
    found = [nn.Conv2d(*shapes[place]) if place in shapes else nn.ReLU(inplace=True) for place in range(12)]
    found[2], found[5] = nn.MaxPool2d(3, 2), nn.MaxPool2d(3, 2)
    return nn.Sequential(*found)


@pytest.mark.reference("LPIPS", "torchmetrics' network with the same weights", "to 1e-5 of the value")
def test_lpips_is_torchmetrics_own(alexnet, monkeypatch):
    from types import SimpleNamespace

    import torch
    import torchvision
    from torchmetrics.functional.image.lpips import _LPIPS

    images, rows, manifest = direction(size=64)
    found = measured(["lpips"], (images, rows, manifest), lpips_weights=str(alexnet), lpips_sha256=sha256_file(alexnet))

    def filled(**_):
        net = SimpleNamespace(features=layers())
        given = torch.load(alexnet, weights_only=True)
        net.features.load_state_dict({name.removeprefix("features."): value for name, value in given.items()})
        return net

    monkeypatch.setattr(torchvision.models, "alexnet", filled)
    a, b = (torch.from_numpy(array)[:, None].expand(-1, 3, -1, -1) for array in images[:2])
    with torch.no_grad():
        wanted = _LPIPS(net="alex")(a, b, normalize=True).flatten().numpy()
    assert wanted.min() > 0
    np.testing.assert_allclose(found.slices["field.lpips"], wanted, rtol=1e-5)


def test_without_weights_lpips_says_so(alexnet, tmp_path):
    assert "set scoring.lpips_weights" in measured(["lpips"]).absent["field.lpips"]
    assert "no such file" in measured(["lpips"], lpips_weights=str(tmp_path / "none.pth")).absent["field.lpips"]
    small = direction(size=20)
    assert "smaller than 32" in measured(["lpips"], small, lpips_weights=str(alexnet)).absent["field.lpips"]


@pytest.mark.fault(
    "metrics and statistics",
    "LPIPS weights that are others than the config's, or none",
    "one line, with the two SHA-256",
)
def test_other_weights_are_refused(alexnet, tmp_path):
    with pytest.raises(UserError, match="not the wanted 0000"):
        measured(["lpips"], lpips_weights=str(alexnet), lpips_sha256="0" * 64)
    broken = tmp_path / "broken.pth"
    broken.write_bytes(b"no weights")
    with pytest.raises(UserError, match="cannot be read as weights of AlexNet"):
        measured(["lpips"], lpips_weights=str(broken))


def test_stores_that_keep_no_units_give_their_reason():
    images, rows, manifest = direction()
    found = measured(["ms_ssim_3d", "lpips"], (images, without(rows, "ct_low"), manifest))
    assert found.absent == {"volume.ms_ssim_3d": UNKNOWN, "field.lpips": UNKNOWN} and not found.slices


def test_field_can_be_left_out():
    images, rows, manifest = direction()
    found = measure_field(images, rows, manifest, ("ct", "mr"), Scoring(field=False))
    assert not found.slices and not found.summary()


@pytest.mark.parametrize("scoring", [{"field": False, "extra": ["lpips"]}, {"extra": ["frd"]}, {"lpips_sha256": "abc"}])
def test_settings_that_mean_nothing_are_refused(scoring):
    config = {"run": "x", "datasets": {"sim_ixi": {}}, "methods": {"oracle": {}}, "scoring": scoring}
    with pytest.raises(UserError, match="scoring"):
        parse_config(config, "x.yaml")
