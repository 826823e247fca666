"""Plugins to begin with: a folder of templates for each kind, written by ``xmodbench new``.

Templates are `string.Template` texts whose names end in ``.in``: ``$id``, ``$name`` (the id as a Python name), ``$Class``
and ``$label`` stand for those of the plugin.
"""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from string import Template

from xmodbench.errors import UserError
from xmodbench.files import atomic_dir
from xmodbench.plugins.discovery import Kind, available, plugin_roots
from xmodbench.plugins.settings import check_id

TEMPLATES = Path(__file__).parent
USED = frozenset({"Config", "Field", "ImageMetric", "Method", "Modality", "Path", "PatternConfig", "PatternDataset"})
"""Names that the templates use themselves."""


def write_plugin(kind: Kind, plugin_id: str, project: Path) -> list[Path]:
    """Write a working plugin into ``<project>/<folder of the kind>/<id>``; returns its files.

    Raises:
        UserError: the id is none, is taken, or something is there already.
    """
    check_id(plugin_id, "new", "give another")
    folder = project / kind.folder / plugin_id
    if folder.exists() or folder.is_symlink():
        raise UserError("is there already", folder, "choose another id, or remove it")
    if plugin_id in available(kind):
        where = next((root for root in plugin_roots(kind) if (root / plugin_id).is_dir()), "an installed package")
        raise UserError(f"this id is taken by a {kind.name} in {where}", plugin_id, "choose another")
    words = [word for word in re.split("[-_]", plugin_id) if word]
    name = "".join(word.capitalize() for word in words)
    values = {
        "id": plugin_id,
        "name": plugin_id.replace("-", "_"),
        "Class": f"{name}{kind.name.capitalize()}" if keyword.iskeyword(name) or name in USED else name,
        "label": " ".join(words).capitalize(),
    }
    with atomic_dir(folder) as temporary:
        for template in sorted((TEMPLATES / kind.name).glob("*.in")):
            name = Template(template.name.removesuffix(".in").replace("NAME", "$name")).substitute(values)
            text = Template(template.read_text(encoding="utf-8")).substitute(values)
            (temporary / name).write_text(text, encoding="utf-8")
    return sorted(folder.iterdir())
