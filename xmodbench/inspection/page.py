"""The page ``index.html`` over all subjects of a prepared data set, and its pictures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment

from xmodbench.errors import UserError
from xmodbench.files import write_text
from xmodbench.inspection.montage import montage, write_png
from xmodbench.progress import Progress
from xmodbench.store import SliceStore

PAGE = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string("""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{{ name }}</title><style>
body { font: 15px/1.4 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
img { max-width: 100%; display: block } table { border-collapse: collapse }
th, td { padding: .1rem .8rem .1rem 0; text-align: left }
.banner { background: #ffe7c2; padding: .5rem 1rem } .bad { color: #a40000 }
</style></head><body>
<h1>{{ name }}</h1>
{% if simulated %}<p class="banner">Simulated data: nothing here is an image of a person.</p>{% endif %}
<p>{{ subjects | length }} subjects, {{ modalities | join(", ") }}. In each picture, from the top: the modalities, then the
edges of {{ modalities[0] }} over {{ modalities[1:] | join(" and ") }}: they should lie on the other's own edges.</p>
{% if excluded %}<h2>Left out</h2><ul>
{% for item in excluded %}<li class="bad">{{ item.subject }}: {{ item.reason }}</li>
{% endfor %}</ul>{% endif %}
{% for subject in subjects %}
<h2 id="{{ subject.file }}">{{ subject.name }}</h2>
<p>{{ subject.split }}, site {{ subject.site }}, {{ subject.slices }} slices from {{ subject.low }} to {{ subject.high }} mm;
mutual information of the slices {{ subject.nmi }} (normalised, 1 to 2)</p>
{% if subject.registration %}<table><tr><th>registered</th><th>information before</th><th>after</th><th>moved, mm</th>
<th>turned, degrees</th><th>covered</th></tr>
{% for modality, found in subject.registration.items() %}
<tr{% if not found.accepted %} class="bad"{% endif %}>
<td>{{ modality }}{% if not found.accepted %} (rejected){% endif %}</td>
<td>{{ found.nmi_before }}</td><td>{{ found.nmi_after }}</td><td>{{ found.translation_mm }}</td>
<td>{{ found.rotation_deg }}</td><td>{{ found.coverage }}</td></tr>
{% endfor %}</table>{% endif %}
<img src="{{ subject.file }}.png" alt="slices of {{ subject.name }}" loading="lazy">
{% endfor %}
</body></html>
""")


def inspect_dataset(data_dir: Path, out_dir: Path, progress: Progress) -> Path:
    """Write ``index.html`` and a PNG per subject.

    Args:
        data_dir: folder of the slice stores ``train`` and ``test``.

    Returns:
        The page.

    Raises:
        UserError: the data set is not prepared.
    """
    stores = {split: SliceStore(Path(data_dir) / split) for split in ("train", "test")}
    manifest = stores["train"].manifest
    modalities = stores["train"].modalities
    if len(modalities) < 2:
        raise UserError("has one modality only", data_dir, "inspect a prepared data set")
    pairs = [(split, store, name) for split, store in stores.items() for name in sorted(set(store.subjects))]
    subjects = []
    for split, store, name in progress.track(pairs, "inspect", total=len(pairs)):
        subjects.append(_subject(split, store, name, Path(out_dir)))
    page = Path(out_dir) / "index.html"
    facts = {"name": manifest["dataset"], "simulated": manifest.get("simulated"), "modalities": modalities}
    write_text(page, PAGE.render(**facts, subjects=subjects, excluded=manifest.get("excluded", [])))
    return page


def _subject(split: str, store: SliceStore, name: str, out_dir: Path) -> dict[str, Any]:
    from xmodbench.volumes.register import nmi

    index = [i for i, subject in enumerate(store.subjects) if subject == name]
    images = {modality: np.array(store.array(modality)[index]) for modality in store.modalities}
    first, *others = images.values()
    shared = np.mean([nmi(a, b) for other in others for a, b in zip(first, other, strict=True)])
    # a lone subject is in both splits
    file = f"{split}-{re.sub(r'[^A-Za-z0-9._+-]+', '-', name)}"
    write_png(montage(images), out_dir / f"{file}.png")
    places = [float(store.rows[i]["position_mm"]) for i in index]
    facts = store.manifest.get("volumes", {}).get(name, {})
    return {
        "name": name,
        "file": file,
        "split": split,
        "site": store.rows[index[0]]["site"],
        "slices": len(index),
        "low": f"{min(places):.1f}",
        "high": f"{max(places):.1f}",
        "nmi": f"{shared:.3f}",
        "registration": facts.get("registration", {}),
    }
