"""A scan that ends higher up in the neck: what it does to the slices, and what `height_mm` does about it."""

import numpy as np
import pytest
import SimpleITK as sitk

from xmodbench.data.simulate.head import subject_fractions
from xmodbench.data.volumes.prepare import prepare_dataset
from xmodbench.plugins import DATASETS, find
from xmodbench.progress import Progress
from xmodbench.store import SliceStore

LOST_MM = 40.0


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Two heads of 4 mm, as they are (``whole``) and without the lowest 40 mm (``short``)."""
    folder, weights = tmp_path_factory.mktemp("heads"), {"gm": 120, "wm": 100, "fat": 130, "csf": 140, "muscle": 90}
    for number in range(2):
        parts, grid = subject_fractions(np.random.default_rng(number), 4.0)
        signal = sum(parts[name] * np.float32(value) for name, value in weights.items())
        signal += np.random.default_rng(number).normal(0, 2, signal.shape).astype(np.float32)
        image = sitk.GetImageFromArray(signal)
        image.CopyInformation(grid)
        for kind, first in (("whole", 0), ("short", round(LOST_MM / 4))):
            (folder / kind).mkdir(exist_ok=True)
            for name in ("a", "b"):
                sitk.WriteImage(image[:, :, first:], str(folder / kind / f"s{number}_{name}.nii"))
    return folder


def positions(raw, out, **slices):
    plugin = find(DATASETS, "folder")
    patterns = {name: f"{{subject}}_{name}.nii" for name in ("a", "b")}
    settings = {"patterns": patterns, "image_size": 32, "slices": slices, "fov_mm": 240, "split": {"n_test": 1}}
    dataset = plugin.cls(plugin.cls.Config.model_validate(settings))
    prepare_dataset(dataset, raw, out, dataset_id="x", seed=1, threads=1, progress=Progress(quiet=True))
    return {part: [float(row["position_mm"]) for row in SliceStore(out / part).rows] for part in ("train", "test")}


@pytest.mark.parametrize("how", [{"fractions": (0.45, 0.55, 0.65)}, {"stride_mm": 12, "height_range": (0.3, 0.9)}])
def test_slices_counted_from_the_top_stay_where_they_are(raw, tmp_path, how):
    whole = positions(raw / "whole", tmp_path / "a", **how, height_mm=150)
    assert whole == positions(raw / "short", tmp_path / "b", **how, height_mm=150)


def test_shares_of_what_was_scanned_move(raw, tmp_path):
    how = {"fractions": (0.45, 0.55, 0.65)}
    whole, short = (positions(raw / kind, tmp_path / kind, **how) for kind in ("whole", "short"))
    moves = np.subtract(short["train"], whole["train"])
    # the extent starts 40 mm higher: a slice at the fraction f moves up by (1 - f) of that, to a voxel of 4 mm
    np.testing.assert_allclose(moves, (1 - np.array(how["fractions"])) * LOST_MM, atol=4.1)
