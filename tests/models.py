"""Exported models made for tests: whole, or sealed anew after a change, as somebody who means harm would."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from xmodbench.data.exported import CARD, FORMAT_VERSION, KIND, write_zip
from xmodbench.files import sha256_json


def resealed(files: dict[str, bytes], **changes: Any) -> dict[str, bytes]:
    """The files, with changes to their card, which says of every file what it is now."""
    card = json.loads(files[CARD]) | changes
    named = {name: content for name, content in files.items() if name != CARD}
    facts = {name: {"bytes": len(it), "sha256": hashlib.sha256(it).hexdigest()} for name, it in named.items()}
    card = {key: value for key, value in (card | {"files": facts}).items() if key != "card_sha256"}
    return {**files, CARD: json.dumps({**card, "card_sha256": sha256_json(card)}).encode()}


def exported_model(path: Path, plugin: str, target: str, **card: Any) -> str:
    """A zip that a plan takes for a model of `plugin`; returns its path."""
    made = {
        "kind": KIND,
        "format": FORMAT_VERSION,
        "name": plugin,
        "plugin": {"id": plugin, "code_sha256": "0" * 32},
        "target": target,
        "source": None,
        "supervision": "zero-shot",
        "shape": None,
        "seed": 1,
        "settings": {},
        "sha256": "0" * 64,
        **card,
    }
    write_zip(path, resealed({CARD: json.dumps(made).encode(), "model.json": b"{}"}))
    return str(path)
