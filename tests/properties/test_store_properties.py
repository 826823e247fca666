"""Slice stores are read as they were written, or refused; parts of a translation make up the whole."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.conftest import store_writer
from tests.properties.lines import check_line, hostile
from xmodbench.errors import UserError
from xmodbench.records import RECORD, other_than, read_record, recorded
from xmodbench.stages.gather import gather
from xmodbench.stages.parts import Part
from xmodbench.store import SliceStore, StoreWriter

UNTOLD = "\r" + "".join(map(chr, range(0xD800, 0xE000)))
names = hostile.filter(lambda text: text and not set(text) & set(UNTOLD))


@given(
    st.integers(1, 4).flatmap(
        lambda n: st.tuples(
            arrays(np.float32, (n, 3, 2), elements=st.floats(0, 1, width=32)),
            st.lists(st.tuples(names, names, names), min_size=n, max_size=n, unique_by=lambda row: row[0]),
            st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=n, max_size=n),
        )
    )
)
def test_what_is_written_is_read(written):
    images, rows, positions = written
    with TemporaryDirectory(prefix="xmodbench-test-") as folder:
        with StoreWriter(Path(folder) / "store", ["pd", "t1"], (3, 2), {"dataset": "toy"}) as writer:
            for image, (name, subject, site), position in zip(images, rows, positions, strict=True):
                writer.add({"t1": image, "pd": 1 - image}, id=name, subject=subject, site=site, position_mm=position)
        store = SliceStore(Path(folder) / "store")
        store.verify()
        np.testing.assert_array_equal(store.array("t1"), images)
        np.testing.assert_array_equal(store.array("pd"), 1 - images)
        assert (store.ids, store.subjects) == ([row[0] for row in rows], [row[1] for row in rows])
        assert [float(row["position_mm"]) for row in store.rows] == positions
        table = store.slices
        assert table["subject"].tolist() == store.subjects and table["site"].tolist() == [row[2] for row in rows]


@given(hostile.filter(bool), st.sampled_from(UNTOLD), st.sampled_from(["id", "subject", "site", "source"]))
def test_what_would_not_be_read_as_it_is_is_not_written(text, letter, column):
    with TemporaryDirectory(prefix="xmodbench-test-") as folder:
        row = {"id": "a", "subject": "a", "site": "a", "position_mm": 0.0, "source": "a"} | {column: text + letter}
        with pytest.raises(UserError, match=f"its {column} is .*, which no table can hold") as caught:
            store_of(Path(folder) / "store", row)
        check_line(caught.value)
        assert not (Path(folder) / "store").exists()


def store_of(path: Path, row: dict) -> None:
    with StoreWriter(path, ["t1"], (3, 2), {}) as writer:
        writer.add({"t1": np.zeros((3, 2), np.float32)}, **row)


def damage(content: bytes, data: st.DataObject) -> bytes:
    """Bytes of a file with some of them other ones, missing or more."""
    how = data.draw(st.sampled_from(["byte", "cut", "insert", "empty", "text"]))
    place = data.draw(st.integers(0, max(0, min(len(content), 400) - 1)))
    piece = data.draw(st.binary(min_size=1, max_size=6) | hostile.map(lambda text: text.encode("utf-8", "replace")))
    made = {
        "byte": lambda: content[:place] + piece + content[place + len(piece) :],
        "cut": lambda: content[:place],
        "insert": lambda: content[:place] + piece + content[place:],
        "empty": lambda: b"",
        "text": lambda: piece,
    }
    return made[how]()


@pytest.mark.fault("workflow", "any damage to a file of a slice store", "read as before, or one line with the file")
@pytest.mark.filterwarnings("ignore:Reading `.npy`")
@given(st.data(), st.sampled_from(["manifest.json", "slices.csv", "t1.npy"]))
def test_a_damaged_store_is_refused(data, name):
    with TemporaryDirectory(prefix="xmodbench-test-") as folder:
        path = store_writer(Path(folder) / "store", n=3, size=4)
        kept = SliceStore(path)
        images, rows = np.array(kept.array("t1")), kept.rows
        spoilt = damage((path / name).read_bytes(), data)
        (path / name).write_bytes(spoilt)
        try:
            store = SliceStore(path)
            found, columns = (
                np.array(store.array("t1")),
                (store.ids, store.subjects, store.modalities, len(store.slices)),
            )
            store.preparation_sha256  # noqa: B018
            store.verify()
        except UserError as error:
            check_line(error, about=path)
        else:
            np.testing.assert_array_equal(found, images)
            assert store.rows == rows and columns[2] == ["pd", "t1"]


MANIFEST = st.sampled_from(["format", "count", "shape", "arrays", "subjects", "slices_sha256", "dataset", "settings"])
odd = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), hostile, st.lists(st.integers(), max_size=3),
                st.dictionaries(hostile, st.integers() | st.none(), max_size=2))  # fmt: skip


@given(st.dictionaries(MANIFEST, odd, min_size=1, max_size=2), st.booleans())
def test_a_manifest_with_other_values_is_refused(changed, whole):
    with TemporaryDirectory(prefix="xmodbench-test-") as folder:
        path = store_writer(Path(folder) / "store", n=3, size=4)
        manifest = json.loads((path / "manifest.json").read_text())
        (path / "manifest.json").write_text(json.dumps(manifest | changed if whole else changed))
        try:
            store = SliceStore(path)
            images = store.array("t1")
            store.verify()
            assert images.shape == (3, 4, 4) and len(store.slices) == len(store.rows) == 3
        except UserError as error:
            check_line(error)


records = st.dictionaries(
    st.sampled_from(["status", "verb", "peak_memory_mb", "duration_s", "n_test", "settings", "seed", "plugin"]),
    odd | st.just("complete"),
)


@pytest.mark.fault("workflow", "a record with any values at all", "read with finite numbers, or one line with the file")
@given(st.data(), records)
def test_any_record(data, values):
    with TemporaryDirectory(prefix="xmodbench-test-") as folder:
        with recorded(Path(folder), "train", seed=1, settings={"a": 1}):
            pass
        path = Path(folder) / RECORD
        text = json.dumps(json.loads(path.read_text()) | values).encode()
        path.write_bytes(damage(text, data) if data.draw(st.booleans()) else text)
        try:
            record = read_record(Path(folder))
        except UserError as error:
            check_line(error)
        else:
            assert record["status"] == "complete" and record.get("duration_s", 0) >= 0
            other_than(record, {"seed": 1, "plugin": "a", "settings": {"a": 1}})


@given(st.integers(0, 500), st.integers(1, 500))
@example(0, 1)
def test_parts_cover_every_slice_once_in_order(n, count):
    parts = [Part.parse(f"{number}/{count}").of(n) for number in range(1, count + 1)]
    assert [index for part in parts for index in range(n)[part]] == list(range(n))
    lengths = {part.stop - part.start for part in parts}
    assert max(lengths) - min(lengths) <= 1


@given(hostile | st.builds("{}/{}".format, st.integers(), st.integers()))
@example("1/" + "9" * 5000)
def test_any_text_for_a_part(text):
    try:
        part = Part.parse(text)
    except UserError as error:
        check_line(error)
    else:
        assert 1 <= part.number <= part.count


@settings(max_examples=15)
@given(st.integers(1, 7), st.integers(1, 9), st.booleans())
def test_gathered_parts_are_the_whole(n, count, swapped):
    with TemporaryDirectory(prefix="xmodbench-test-") as folder:
        root = Path(folder)
        test = SliceStore(store_writer(root / "test", n=n, size=4))
        folders = []
        for number in range(1, count + 1):
            part = Part(number, count).of(n)
            if part.start < part.stop:
                folders.append(translated(test, root / f"part{number}", part))
        if swapped and len(folders) > 1:
            folders[:2] = folders[1::-1]
            with pytest.raises(UserError, match="the parts together are not the test slices"):
                gather(folders, test.directory, root / "whole")
            return
        gather(folders, test.directory, root / "whole")
        whole = SliceStore(root / "whole")
        assert whole.rows == test.rows
        np.testing.assert_array_equal(whole.array("t1"), test.array("pd"))


def translated(test: SliceStore, out: Path, part: slice) -> Path:
    """A part of a translation by a method that hands back the source."""
    kind = {"kind": "translation", "source": "pd", "target": "t1", "intermediates": []}
    with recorded(out, "translate", source="pd", target="t1") as record:
        with StoreWriter(out, ["t1"], (4, 4), kind) as writer:
            for row, image in zip(test.rows[part], test.array("pd")[part], strict=True):
                writer.add({"t1": image}, **row)
        record["outputs_sha256"] = SliceStore(out).manifest["arrays"]["t1"]["sha256"]
        record["data_sha256"] = test.manifest["arrays"]["pd"]["sha256"]
    return out
