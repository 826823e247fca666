"""Which results of `apply` are there already, whole and as they would be made now, so that a killed call can go on."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from xmodbench.data.volumes.elsewhere import volume_sha256
from xmodbench.files import sha256_file, sha256_json
from xmodbench.plugins.code_hash import files_hash
from xmodbench.records import versions
from xmodbench.stages.apply_items import Item
from xmodbench.stages.apply_model import Model, Wish
from xmodbench.stages.apply_outputs import Earlier, output_sha256
from xmodbench.stages.wall.may_read import named_files
from xmodbench.stages.wall.method_job import MethodJob


def what_decides(job: MethodJob, model: Model, wish: Wish) -> dict[str, Any]:
    """All that a result depends on but its volumes; batches and threads change none."""
    asked = asdict(wish)
    del asked["batch_size"]
    return {
        **job.facts(),
        "asked": asked | {"series": dict(wish.series)},
        "settings": job.settings,
        "files": {given: sha256_file(path) for given, path in named_files(job).items()},
        "seed": job.seed,
        "device": [job.device, job.tf32],
        "model": [model.record["outputs_sha256"], model.known],
        "harness": [files_hash(Path(__file__).with_name("apply.py")), versions()],
    }


def asked_sha256(decides: dict[str, Any], item: Item) -> str | None:
    """Hex SHA-256 over that and an item's volumes; None where these cannot be read, of which their reader tells."""
    try:
        given = [(name, _contents(path)) for name, path in item.given.items()]
    except OSError:
        return None
    return sha256_json([decides, given, item.reference, item.dicom])


def _contents(path: Path) -> str:
    return output_sha256(path) if path.is_dir() else volume_sha256(path)


def is_there(item: Item, earlier: Earlier, asked: str | None, samples: int) -> bool:
    """Whether an earlier call made the same, and all of it is as it was written."""
    if asked is None or earlier.writing or earlier.record.get("asked_sha256") != asked:
        return False
    return earlier.wrote(item.out) and (samples == 1 or earlier.wrote(item.spread))
