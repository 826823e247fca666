"""The data section: counts, alignment, histograms and pictures of a prepared data set as a piece of HTML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader

from xmodbench.data.pairing.judge import Finding
from xmodbench.errors import UserError
from xmodbench.files import read_json
from xmodbench.progress import Progress
from xmodbench.records import RECORD
from xmodbench.report.inspection.facts import (
    DataFacts,
    SubjectFacts,
    collect_facts,
    open_stores,
    subject_images,
    told_if_damaged,
)
from xmodbench.report.inspection.histogram import COLOURS, histogram_svg
from xmodbench.report.inspection.montage import data_uri, jpeg, montage
from xmodbench.report.inspection.pairing import Place
from xmodbench.report.pictures import Pictures

_TEMPLATES = Environment(
    loader=PackageLoader("xmodbench.report.inspection"), autoescape=True, trim_blocks=True, lstrip_blocks=True
)
# options that decide how many slices there are
_COUNTING = ("slices", "min_foreground", "spacing_mm", "mr_sequence", "split", "n_subjects")


@dataclass(frozen=True)
class DataSection:
    """``html``: a ``<section>`` that needs `STYLE` once on its page and nothing else; ``facts``: what it says."""

    html: str
    facts: DataFacts


def style() -> str:
    """The rules for data sections, for the page's ``<style>``."""
    return _TEMPLATES.get_template("section.css").render()


def data_section(
    data_dir: Path,
    *,
    label: str | None = None,
    published: dict[str, Any] | None = None,
    max_subjects: int | None = 8,
    tile: int = 96,
    heading: int = 2,
    progress: Progress | None = None,
    kept: Pictures | None = None,
    pairing: Mapping[Place, Sequence[Finding]] | None = None,
) -> DataSection:
    """Describe one prepared data set.

    Args:
        data_dir: folder of the stores ``train`` and ``test`` (and of the preparation's record).
        label: how the data set is called; its id if left out.
        published: the paper's slice counts; those of the plugin that prepared it (``slices_published`` in its
            ``dataset.yaml``) if left out. Simulated data are never compared with them.
        max_subjects: so many subjects get a picture, doubtful ones first, the others spread evenly; None: all. Tables and
            histograms always have all.
        tile: side of one slice in the pictures, pixels.
        heading: level of the section's heading, 1 to 4.
        kept: keeps the pictures in a folder, with small ones in the page; without it, they are in the page as they are.
        pairing: see `collect_facts`.

    Raises:
        UserError: the data set is not prepared, or its manifest or list is damaged.
    """
    with told_if_damaged(data_dir):
        return _section(
            Path(data_dir),
            label,
            published,
            max_subjects,
            tile,
            heading,
            progress or Progress(quiet=True),
            kept,
            pairing,
        )


def _section(
    data_dir: Path,
    label: str | None,
    published: dict[str, Any] | None,
    max_subjects: int | None,
    tile: int,
    heading: int,
    progress: Progress,
    kept: Pictures | None,
    pairing: Mapping[Place, Sequence[Finding]] | None,
) -> DataSection:
    """See `data_section`."""
    if published is None:
        published = _published(Path(data_dir))
    facts = collect_facts(Path(data_dir), published, progress, pairing)
    stores = open_stores(Path(data_dir))
    shown = chosen_subjects(facts, max_subjects)
    pictures = []
    for number, subject in enumerate(progress.track(shown, "pictures", total=len(shown))):
        images = dict(subject_images(stores[subject.split], subject.name, facts.modalities))
        picture = jpeg(montage(images, tile=tile))
        full = kept.keep(f"{Path(data_dir).name}-{number}", picture, "jpg") if kept else None
        pictures.append((subject, full.small if full else data_uri(picture), full))
    histograms = {
        name: histogram_svg(
            [(s.name, s.split, s.histograms[name]) for s in facts.subjects],
            f"intensities of {name}, a line per subject",
        )
        for name in facts.modalities
    }
    html = _TEMPLATES.get_template("section.html.j2").render(
        facts=facts,
        label=label or facts.name,
        pictures=pictures,
        histograms=histograms,
        colours=COLOURS,
        counting={key: _said(facts.settings[key]) for key in _COUNTING if facts.settings.get(key) is not None},
        left_out=_by_reason(facts.excluded),
        registered=any(subject.registration for subject in facts.subjects),
        many_sites=len({subject.site for subject in facts.subjects}) > 1,
        level=heading,
    )
    return DataSection(html, facts)


def chosen_subjects(facts: DataFacts, most: int | None) -> list[SubjectFacts]:
    """Subjects for the pictures, in the tables' order."""
    subjects = facts.subjects
    if most is None or len(subjects) <= most:
        return list(subjects)
    chosen = set(list(dict.fromkeys(subject.anchor for subject in (*facts.mispaired, *facts.doubtful)))[:most])
    fine = [subject.anchor for subject in subjects if subject.anchor not in chosen]
    spaces = most - len(chosen)
    # the first, the last and some between: both training and test subjects are among them
    chosen |= {fine[round(i * (len(fine) - 1) / max(1, spaces - 1))] for i in range(spaces)}
    return [subject for subject in subjects if subject.anchor in chosen]


def _said(value: Any) -> Any:
    """A setting without the parts that are not set, and without lists of subjects: they are in the table."""
    if not isinstance(value, dict):
        return value
    return {key: item for key, item in value.items() if item is not None and not key.endswith("_subjects")}


def _by_reason(excluded: Iterable[dict[str, str]]) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for item in excluded:
        reasons.setdefault(item["reason"], []).append(item["subject"])
    return reasons


def _published(data_dir: Path) -> dict[str, Any] | None:
    """The counts its plugin gives, where the record says which plugin that was and it is still there."""
    from xmodbench.plugins import DATASETS, find

    try:
        return find(DATASETS, read_json(data_dir / RECORD)["plugin"]).meta.get("slices_published")
    except (UserError, KeyError, TypeError):
        return None
