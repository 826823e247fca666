"""Pictures that trainings leave are shown with the model they belong to."""

from xmodbench.report.model import Report
from xmodbench.report.trainings import training_pictures


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
