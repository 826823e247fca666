"""Pictures that trainings leave are shown with the model they belong to."""

import io

import numpy as np
import pytest
from PIL import Image

from xmodbench.learning.training.log import LossLog
from xmodbench.report.losses import losses_drawn
from xmodbench.report.model import Report
from xmodbench.report.pictures import Pictures
from xmodbench.report.trainings import length_note, shown_trainings, training_pictures


def test_pictures_of_a_training_are_found_once_and_in_order(copied):
    folder = copied.model_dir(copied.cells[0])
    for phase in (folder, folder / "encoder"):
        (phase / "snapshots").mkdir(parents=True)
        (phase / "loss.csv").write_text("step,a\n1,2\n")
    for step in (400, 80):
        (folder / "snapshots" / f"step-{step}.png").write_bytes(str(step).encode())
    found, second = training_pictures(Report.read(copied, partial=False))
    assert found.title == "Good & <careful>, Heads, t1" and second.title == "Good & <careful>, encoder, Heads, t1"
    assert (found.folder, second.folder) == (folder, folder / "encoder")
    assert [(step, picture.read_bytes()) for step, picture in found.snapshots] == [(80, b"80"), (400, b"400")]
    assert found.length is None


def test_losses_are_drawn_unless_the_method_has_drawn_its_own(copied, tmp_path):
    folder, kept = copied.model_dir(copied.cells[0]), Pictures(tmp_path, "pictures")
    report = Report.read(copied, partial=False)
    (folder / "loss.csv").write_text("step,a\n1,2\n2,1\n")
    (shown,) = shown_trainings(report, kept)
    assert (shown.losses.width, shown.losses.height) == (512, 384)
    Image.new("L", (9, 7)).save(folder / "loss.png")
    (shown,) = shown_trainings(report, kept)
    assert (shown.losses.width, shown.losses.height) == (9, 7)


@pytest.mark.parametrize("text", ["", "step,a\n", "step\n1\n", "step,a\n1,two\n", "step,a\n1,2,3\n", "a,$\n1,$x_\n"])
def test_losses_that_cannot_be_read_are_left_out(copied, tmp_path, text):
    (copied.model_dir(copied.cells[0]) / "loss.csv").write_text(text)
    assert shown_trainings(Report.read(copied, partial=False), Pictures(tmp_path, "pictures")) == []


@pytest.mark.parametrize("rows", [[(1, 0.0, 0.0, 0.0)], [(1, 2.0, -3.0, 1e-3), (2, 2.0, 5.0, 1e-3)]])
def test_any_losses_can_be_drawn(rows):
    drawn = losses_drawn(LossLog(("a", "gradient_norm", "learning_rate"), rows, {}, [(1, 0.5)]))
    picture = np.asarray(Image.open(io.BytesIO(drawn)).convert("RGB"))
    assert picture.shape[1] > 300 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 20


@pytest.mark.parametrize(
    ("best", "done", "stopped", "said"),
    [
        (300, 400, "no longer helped", "Training stopped because more did not help (it might have taken 900 steps)."),
        (900, 900, "limit", "They were still getting better when training ended at its limit: more iterations"),
        (800, 900, "limit", "are used. Training ended at its limit."),
    ],
)
def test_the_length_of_a_training_is_explained(best, done, stopped, said):
    record = {"held_out_slices": 3, "best_step": best, "steps": done, "most_steps": 900, "stopped": stopped}
    assert f"the weights after {best} of {done} steps were best" in length_note(record) and said in length_note(record)
    assert length_note(record | {"best_step": "many"}) is None
