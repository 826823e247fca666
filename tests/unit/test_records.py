"""Records: complete only when the job was, and failures stay on file."""

import json

import pytest

from xmodbench.errors import UserError
from xmodbench.records import read_record, recorded


def test_success(tmp_path):
    with recorded(tmp_path / "out", "train", seed=3, settings={"a": 1}) as record:
        record["n_train"] = 5
    found = read_record(tmp_path / "out")
    assert found["status"] == "complete"
    assert found["seed"] == 3
    assert found["n_train"] == 5
    assert found["duration_s"] >= 0
    assert found["peak_memory_mb"]["cpu"] > 10
    assert "python" in found["versions"]


def test_failure_is_kept_and_cleared_by_success(tmp_path, capsys):
    with pytest.raises(UserError, match="ZeroDivisionError"), recorded(tmp_path, "train"):
        1 / 0  # noqa: B018
    assert "Traceback" in capsys.readouterr().err
    failure = json.loads((tmp_path / "failure.json").read_text())
    assert failure["status"] == "failed"
    assert "ZeroDivisionError" in failure["error"]
    with pytest.raises(UserError, match="no such file"):
        read_record(tmp_path)
    with recorded(tmp_path, "train"):
        pass
    assert not (tmp_path / "failure.json").exists()
    assert read_record(tmp_path)["status"] == "complete"


def test_named_records_have_named_failures(tmp_path):
    with pytest.raises(UserError), recorded(tmp_path, "score", "cell.record.json"):
        raise UserError("bad")
    assert [path.name for path in tmp_path.iterdir()] == ["cell.failure.json"]


def test_unfinished_record_is_refused(tmp_path):
    (tmp_path / "record.json").write_text('{"status": "failed"}')
    with pytest.raises(UserError, match="finished job"):
        read_record(tmp_path)
