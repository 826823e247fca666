"""What a prepared data set holds and how well its pairs fit, as plain data for a page or a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import UndefinedError

from xmodbench.data.pairing.information import mutual_information
from xmodbench.data.pairing.judge import Finding
from xmodbench.data.volumes.names import ascii_name
from xmodbench.errors import UserError
from xmodbench.progress import Progress
from xmodbench.report.inspection.alignment import residual_shift
from xmodbench.report.inspection.pairing import Place, findings
from xmodbench.store import SliceStore

SPLITS = ("train", "test")
# more slices of a subject than this say nothing new about its alignment
SAMPLE = 12
# pairs further apart than this share of the slice's side deserve a look: one pixel of 64, two of 128
LOOK_SHARE = 1 / 64
HISTOGRAM_BINS = 40
# darker than this is air
AIR = 0.02


@dataclass(frozen=True)
class SubjectFacts:
    """One subject in one split.

    ``shift_px`` is the largest in-plane distance left between the first modality and another (`residual_shift`);
    ``shift_mm`` the same in millimetres, None where the store does not say how large a pixel is. ``registration``: by
    modality what the preparation found out; ``headers``: by modality how its file contradicts itself. ``histograms``: by
    modality the share of tissue pixels in each of 40 bins. ``pairing``: for each pair of
    modalities, whether another pairing would fit better.
    """

    name: str
    split: str
    site: str
    slices: int
    low_mm: float
    high_mm: float
    nmi: float
    shift_px: float
    shift_mm: float | None
    aligned: bool
    registration: dict[str, dict[str, Any]] = field(default_factory=dict)
    histograms: dict[str, np.ndarray] = field(default_factory=dict)
    dropped: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    pairing: tuple[Finding, ...] = ()

    @property
    def suspected(self) -> tuple[str, ...]:
        """What may be wrong with its pairs, nothing where they fit."""
        return tuple(item.suspected for item in self.pairing if item.suspected)

    @property
    def anchor(self) -> str:
        """A name for links; a lone subject is in both splits."""
        return f"{self.split}-{ascii_name(self.name, also='_+')}"


@dataclass(frozen=True)
class CountRow:
    """Subjects and slice pairs of one split, published (None: not said) and here."""

    split: str
    subjects: int
    pairs: int
    published_subjects: int | None = None
    published_pairs: int | None = None


@dataclass(frozen=True)
class DataFacts:
    """Everything about one prepared data set."""

    name: str
    simulated: bool
    modalities: tuple[str, ...]
    image_size: int
    settings: dict[str, Any]
    subjects: tuple[SubjectFacts, ...]
    excluded: tuple[dict[str, str], ...]
    counts: tuple[CountRow, ...]
    why: str | None

    @property
    def doubtful(self) -> tuple[SubjectFacts, ...]:
        """Subjects whose modalities seem not to lie on each other, the worst first."""
        return tuple(sorted((s for s in self.subjects if not s.aligned), key=lambda s: -s.shift_px))

    @property
    def mispaired(self) -> tuple[SubjectFacts, ...]:
        """Subjects whose pairs seem not to belong together."""
        return tuple(subject for subject in self.subjects if subject.suspected)


def collect_facts(
    data_dir: Path,
    published: dict[str, Any] | None,
    progress: Progress,
    pairing: Mapping[Place, Sequence[Finding]] | None = None,
) -> DataFacts:
    """Read the stores ``train`` and ``test`` in `data_dir`.

    Args:
        published: the paper's counts, ``{train: {subjects, pairs}, test: {...}, why: text}``, as in ``dataset.yaml``; left
            out of account where the data are simulated.

        pairing: what `findings` says of these stores, where that is known already: it takes long.

    Raises:
        UserError: the data set is not prepared, or has one modality only.
    """
    stores = open_stores(data_dir)
    manifest = stores["train"].manifest
    modalities = ordered_modalities(stores["train"])
    if len(modalities) < 2:
        raise UserError("has one modality only", data_dir, "inspect a prepared data set")
    simulated = bool(manifest.get("simulated"))
    published = {} if simulated or not published else published
    pairs = [(split, store, name) for split, store in stores.items() for name in sorted(set(store.subjects))]
    if pairing is None:
        pairing = findings(stores, modalities)
    subjects = [
        _subject(split, store, name, modalities, tuple(pairing[split, name]))
        for split, store, name in progress.track(pairs, "inspect", total=len(pairs))
    ]
    return DataFacts(
        name=manifest["dataset"],
        simulated=simulated,
        modalities=tuple(modalities),
        image_size=int(manifest["shape"][0]),
        settings=manifest.get("settings", {}),
        subjects=tuple(subjects),
        excluded=tuple(manifest.get("excluded", [])),
        counts=tuple(_counts(split, store, published.get(split, {})) for split, store in stores.items()),
        why=published.get("why"),
    )


@contextmanager
def told_if_damaged(data_dir: Path) -> Iterator[None]:
    """Turn what a damaged manifest or list leads to, in code or template, into one line; a context manager.

    Raises:
        UserError: instead of what the block raised.
    """
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, UndefinedError) as error:
        problem = f"the manifest or slices.csv holds what preparing does not write ({type(error).__name__}: {error})"
        raise UserError(problem, data_dir, "prepare the data set again") from error


def open_stores(data_dir: Path) -> dict[str, SliceStore]:
    """The two stores of a prepared data set."""
    return {split: SliceStore(Path(data_dir) / split) for split in SPLITS}


def ordered_modalities(store: SliceStore) -> list[str]:
    """The reference first (its grid is the slices'), then the others."""
    first = store.manifest.get("settings", {}).get("reference")
    return sorted(store.modalities, key=lambda name: (name != first, name))


def subject_images(store: SliceStore, name: str, modalities) -> Iterator[tuple[str, np.ndarray]]:
    """By modality, the slices [N, H, W] of one subject."""
    index = [i for i, subject in enumerate(store.subjects) if subject == name]
    for modality in modalities:
        yield modality, np.array(store.array(modality)[index])


def _subject(
    split: str, store: SliceStore, name: str, modalities: list[str], pairing: tuple[Finding, ...]
) -> SubjectFacts:
    rows = [row for row in store.rows if row["subject"] == name]
    images = dict(subject_images(store, name, modalities))
    count = len(rows)
    chosen = np.unique(np.linspace(0, count - 1, min(SAMPLE, count)).round().astype(int))
    first, *others = (images[modality][chosen] for modality in modalities)
    shift = max(float(np.hypot(*residual_shift(first, other))) for other in others)
    pixel = _pixel_mm(rows[0])
    facts = store.manifest.get("volumes", {}).get(name, {})
    places, kept = [float(row["position_mm"]) for row in rows], facts.get("slices", {})
    return SubjectFacts(
        name=name,
        split=split,
        site=rows[0]["site"],
        slices=count,
        low_mm=min(places),
        high_mm=max(places),
        nmi=float(np.mean([mutual_information(a, b) for other in others for a, b in zip(first, other, strict=True)])),
        shift_px=shift,
        shift_mm=shift * pixel if pixel else None,
        aligned=shift <= max(1.0, first.shape[1] * LOOK_SHARE),
        registration=facts.get("registration", {}),
        histograms={modality: _histogram(array[chosen]) for modality, array in images.items()},
        dropped=kept["chosen"] - kept["kept"] if kept else None,
        headers=facts.get("headers", {}),
        pairing=pairing,
    )


def _histogram(images: np.ndarray) -> np.ndarray:
    counts = np.histogram(images[images > AIR], bins=HISTOGRAM_BINS, range=(0, 1))[0]
    return counts / max(1, counts.sum())


def _pixel_mm(row: dict[str, str]) -> float | None:
    """Distance between columns of a slice, from its affine matrix."""
    from json import loads

    if not row.get("affine"):
        return None
    return float(np.linalg.norm(np.array(loads(row["affine"]))[:3, 0]))


def _counts(split: str, store: SliceStore, published: dict[str, Any]) -> CountRow:
    subjects, pairs = len(set(store.subjects)), len(store.rows)
    return CountRow(split, subjects, pairs, published.get("subjects"), published.get("pairs"))
