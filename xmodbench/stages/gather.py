"""gather: put the parts of a divided translation together."""

from __future__ import annotations

from pathlib import Path

from xmodbench.commands import remake
from xmodbench.errors import UserError
from xmodbench.records import RECORD, read_record, recorded
from xmodbench.stages.translate import write_translation
from xmodbench.store import SliceStore

SAME = (
    "name",
    "plugin",
    "code_sha256",
    "settings_sha256",
    "seed",
    "model_sha256",
    "data_sha256",
    "preparation_sha256",
    "source",
    "target",
)
"""What the records of all parts must agree on."""


def gather(parts: list[Path], store_dir: Path, out: Path) -> None:
    """Join part folders into one translation, with a record like that of a translation made in one piece.

    Raises:
        UserError: parts that do not belong together, or do not make up the test slices.
    """
    with recorded(out, "translate", parts=len(parts)) as record:
        records = [read_record(folder) for folder in parts]
        for name in SAME:
            for folder, other in zip(parts, records, strict=True):
                if other.get(name) != records[0].get(name):
                    raise UserError(f"made with another {name} than the first part", folder, "translate it again")
        store, stores = SliceStore(store_dir), [SliceStore(folder) for folder in parts]
        for folder, part, made in zip(parts, stores, records, strict=True):
            part.verify()
            fix = remake(folder / RECORD, "translate it again")
            if made.get("outputs_sha256") != part.manifest["arrays"][part.manifest["target"]]["sha256"]:
                raise UserError("not the images that the record beside them speaks of", folder, fix)
            if made.get("data_sha256") != store.sha256(str(made.get("source"))):
                raise UserError(f"made of other slices than those of {store_dir}", folder, fix)
        if [image_id for part in stores for image_id in part.ids] != store.ids:
            raise UserError("the parts together are not the test slices", out, "translate again from this test store")
        first = stores[0].manifest
        names = [first["target"], *first["intermediates"]]
        manifest = {key: first[key] for key in ("kind", "source", "target", "intermediates")}
        batches = ({name: part.array(name)[:, None] for name in names} for part in stores)
        write_translation(out, names, first["shape"], manifest, store.rows, batches)
        same = (*SAME, "settings", "device", "tf32", "isolation", "supervision", "handed", "environment")
        kept = {key: value for key, value in records[0].items() if key in same}
        target = SliceStore(out).manifest["arrays"][first["target"]]["sha256"]
        record.update(
            kept,
            n_test=len(store.ids),
            outputs_sha256=target,
            parts_duration_s=sum(part.get("duration_s") or 0 for part in records),
        )
