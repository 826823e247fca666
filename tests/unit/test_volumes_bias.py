"""N4 takes a known bias field out of a volume and leaves CT alone."""

import numpy as np
import pytest
import SimpleITK as sitk

from xmodbench.data.volumes.bias import correct_bias
from xmodbench.data.volumes.register import one_thread
from xmodbench.data.volumes.settings import Normalisation, Preparation
from xmodbench.data.volumes.subject import Outcome, Task, _read
from xmodbench.plugins import SubjectRecord


@pytest.fixture(scope="module")
def uneven():
    """A head of two tissues, its bias field, and the two multiplied."""
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, 48)] * 3, indexing="ij")
    head = (x / 0.8) ** 2 + (y / 0.9) ** 2 + (z / 0.85) ** 2 < 1
    core = (x / 0.4) ** 2 + ((y - 0.1) / 0.4) ** 2 + (z / 0.4) ** 2 < 1
    noise = np.random.default_rng(0).normal(0, 8, x.shape)
    plain = np.where(core, 400, np.where(head, 700, 0)) + noise * head
    field = np.exp(0.35 * x - 0.25 * y * z + 0.2 * z)
    image = sitk.GetImageFromArray((plain * field).clip(0).astype(np.float32))
    image.SetSpacing((4.0, 4.0, 4.0))
    return image, head & ~core, core, field


def spread(values):
    return float(values.std() / values.mean())


def test_a_known_field_is_taken_out(uneven):
    image, outer, core, field = uneven
    with one_thread():
        fixed = correct_bias(image)
        again = correct_bias(image)
    before, after = sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(fixed)
    assert spread(before[outer]) > 0.15
    assert spread(after[outer]) < 0.3 * spread(before[outer])
    assert spread(after[core]) < 0.7 * spread(before[core])
    found = before[outer] / after[outer]
    assert np.corrcoef(found, field[outer])[0, 1] > 0.95
    # intensities keep their size, places stay, and the result repeats
    assert after[outer].mean() == pytest.approx(before[outer].mean(), rel=0.15)
    assert fixed.GetSpacing() == image.GetSpacing() and fixed.GetSize() == image.GetSize()
    assert np.array_equal(sitk.GetArrayFromImage(again), after)


def test_only_modalities_without_a_fixed_window_are_corrected(uneven, tmp_path):
    sitk.WriteImage(uneven[0], str(tmp_path / "a.nii"))
    record = SubjectRecord("s", "x", {"ct": tmp_path / "a.nii", "mr": tmp_path / "a.nii"})
    window = {"ct": Normalisation(method="window", low=-1000, high=1000)}
    raw = sitk.GetArrayFromImage(uneven[0])

    def read(name, n4):
        settings = Preparation(n4=n4, normalise=window)
        return sitk.GetArrayFromImage(
            _read(Task(record, ("ct", "mr"), settings, tmp_path, tmp_path / "s.npz", 1), name, Outcome("s"))
        )

    assert np.array_equal(read("ct", True), raw)
    assert np.array_equal(read("mr", False), raw)
    assert not np.array_equal(read("mr", True), raw)
    assert not Preparation().n4
