"""Pictures that trainings leave are shown with the model they belong to."""

import pytest

from xmodbench.report.model import Report
from xmodbench.report.trainings import length_note, training_pictures


def test_pictures_of_a_training_are_found_once_and_in_order(copied):
    folder = copied.model_dir(copied.cells[0])
    (folder / "snapshots").mkdir()
    (folder / "loss.png").write_bytes(b"losses")
    for step in (400, 80):
        (folder / "snapshots" / f"step-{step}.png").write_bytes(str(step).encode())
    (found,) = training_pictures(Report.read(copied, partial=False))
    assert found.title == "Good & <careful>, Heads, t1"
    assert found.losses.read_bytes() == b"losses"
    assert [(step, picture.read_bytes()) for step, picture in found.snapshots] == [(80, b"80"), (400, b"400")]
    assert found.length is None


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
