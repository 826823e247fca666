"""Data sets whose volumes are found by the patterns of their file names."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, field_validator, model_validator

from xmodbench.data.volumes.found import SUFFIXES, at_two_sites, record_of, volume_names
from xmodbench.data.volumes.settings import Preparation
from xmodbench.errors import UserError, did_you_mean
from xmodbench.plugins import Dataset, SubjectRecord
from xmodbench.plugins.settings import Modality

if TYPE_CHECKING:
    from xmodbench.progress import Progress

NO_SITE = "unknown"
LONE_SUBJECT = "subject"
_PLACEHOLDER = re.compile(r"\{(\w+)\}|(\*)")


class PatternConfig(Preparation):
    """Preparation, and where the volumes are."""

    patterns: dict[Modality, str] = Field(
        min_length=2,
        description="File name of each modality, relative to the raw folder, such as `{subject}/{subject}-T1.nii.gz`. "
        "`{subject}` and `{site}` stand for names, `*` for anything within a name. Without `{subject}` there is one "
        "subject. NIfTI (pairs by their `.hdr`), NRRD or MetaImage.",
    )
    subject_pattern: str = Field(
        r"[^/]+?", description="Regular expression of a subject's name; a named group `site` in it gives the site."
    )

    @field_validator("patterns")
    @classmethod
    def _check_patterns(cls, patterns: dict[str, str]) -> dict[str, str]:
        for name, pattern in patterns.items():
            unknown = {match[1] for match in _PLACEHOLDER.finditer(pattern)} - {"subject", "site", None}
            if unknown:
                raise ValueError(
                    f"{name}: unknown placeholder {{{sorted(unknown)[0]}}}; known: {{subject}}, {{site}}, *"
                )
            if pattern.startswith("/") or ".." in Path(pattern).parts:
                raise ValueError(f"{name}: must be relative to the raw folder")
            if not pattern.lower().endswith((*SUFFIXES, "*")):
                raise ValueError(f"{name}: must end in {', '.join(SUFFIXES)}")
        if len({"{subject}" in pattern for pattern in patterns.values()}) > 1:
            raise ValueError("either every pattern has {subject} or none")
        if len(set(patterns.values())) < len(patterns):
            raise ValueError("two modalities have the same pattern")
        return patterns

    @model_validator(mode="after")
    def _check_names(self) -> PatternConfig:
        try:
            expression = re.compile(self.subject_pattern)
        except re.error as error:
            raise ValueError(f"subject_pattern is no regular expression: {error}") from None
        if set(expression.groupindex) - {"site"} or expression.groups > len(expression.groupindex):
            raise ValueError("subject_pattern may have one group, named `site`; write others as (?:...)")
        for name in [*self.normalise, self.reference, self.mask_from]:
            if name is not None and name not in self.patterns:
                raise ValueError(f"no modality '{name}' (known: {', '.join(self.patterns)})")
        return self


class PatternDataset(Dataset):
    """A data set of volumes named by patterns. Subclasses may give ``Config`` defaults and an ``acquire``."""

    Config = PatternConfig
    settings: PatternConfig

    def modalities(self) -> tuple[str, ...]:
        """The modalities that have a pattern, in their order."""
        return tuple(self.settings.patterns)

    def acquire(self, raw_dir: Path, seed: int, progress: Progress) -> None:
        """Nothing is fetched: the volumes are the user's.

        Raises:
            UserError: they are not there.
        """
        if not Path(raw_dir).is_dir():
            raise UserError("no such folder", raw_dir, "put the volumes there, or name their folder in `raw`")
        found = self.volumes(raw_dir)
        lacking = Counter(f"no {name}" for record in found for name in self.modalities() if name not in record.files)
        complete = sum(set(record.files) == set(self.modalities()) for record in found)
        details = "".join(f", {count} have {what}" for what, count in sorted(lacking.items()))
        progress.say(f"{complete} of {len(found)} subjects have every modality{details}")

    def volumes(self, raw_dir: Path) -> list[SubjectRecord]:
        """All subjects with at least one modality, sorted; those lacking one are left out later, with the reason.

        Raises:
            UserError: no subject has every modality, and the message says what is there instead; or one is at two sites.
        """
        raw_dir = Path(raw_dir)
        names, dead = volume_names(raw_dir)
        found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        sites: dict[str, dict[str, str]] = defaultdict(dict)
        for modality, pattern in self.settings.patterns.items():
            for subject, site, name in self._matches(pattern, names):
                found[subject][modality].append(name)
                if site:
                    sites[subject].setdefault(site, name)
        for subject, where in sorted(sites.items()):
            if len(where) > 1 and subject not in self.settings.exclude:
                raise at_two_sites(subject, where, raw_dir)
        site_of = {subject: next(iter(sites[subject]), NO_SITE) for subject in found}
        records = [record_of(subject, site_of[subject], files, raw_dir) for subject, files in found.items()]
        records += [record for record in self._behind_dead_links(dead) if record.subject not in found]
        records.sort(key=lambda record: record.subject)
        if not any(len(record.files) == len(self.settings.patterns) for record in records):
            raise self._nothing(raw_dir, names, records)
        return records

    def _matches(self, pattern: str, names: list[str]) -> Iterator[tuple[str, str | None, str]]:
        """Subject, site and name of each file that a pattern fits."""
        expression = re.compile(_expression(pattern, self.settings.subject_pattern))
        for name in names:
            if match := expression.fullmatch(name):
                groups = match.groupdict()
                yield groups.get("subject") or LONE_SUBJECT, groups.get("site"), name

    def _behind_dead_links(self, dead: list[str]) -> list[SubjectRecord]:
        """Subjects whose folder is a link that leads nowhere, so that they are told as left out."""
        found: dict[str, SubjectRecord] = {}
        for name in dead:
            for pattern in self.settings.patterns.values():
                folders = pattern.split("/")[:-1][: name.count("/") + 1]
                if "{subject}" not in "/".join(folders):
                    continue
                for subject, site, _ in self._matches("/".join(folders), [name]):
                    problem = f"{name} is a link that leads nowhere"
                    found.setdefault(subject, SubjectRecord(subject, site or NO_SITE, {}, problem))
        return list(found.values())

    def _nothing(self, raw_dir: Path, names: list[str], records: list[SubjectRecord]) -> UserError:
        matched = {name for record in records for name in record.files}
        unmatched = {m: p for m, p in self.settings.patterns.items() if m not in matched}
        if not names:
            return UserError("no volumes here (NIfTI, NRRD, MetaImage)", raw_dir, "put them there, or set `raw`")
        if not unmatched:
            return UserError(
                f"none of {len(records)} subjects has every modality", raw_dir, "check the subjects' names"
            )
        modality, pattern = next(iter(unmatched.items()))
        there = f"the folder has {', '.join(names[:4])}{' ...' if len(names) > 4 else ''}"
        near = did_you_mean(pattern, names) or "correct `patterns`"
        return UserError(f"no file matches '{pattern}' ({modality}); {there}", raw_dir, near)


def _expression(pattern: str, subject_pattern: str) -> str:
    """The regular expression of a pattern; a placeholder's second use stands for the same text."""
    pieces, seen, end = [], set(), 0
    inner = {"subject": subject_pattern, "site": r"[^/]+?"}
    for match in _PLACEHOLDER.finditer(pattern):
        pieces.append(re.escape(pattern[end : match.start()]))
        end, name = match.end(), match[1]
        if name is None:
            pieces.append(r"[^/]*")
        elif name in seen:
            pieces.append(f"(?P={name})")
        else:
            pieces.append(f"(?P<{name}>{inner[name]})")
            seen.add(name)
    return "".join(pieces) + re.escape(pattern[end:])
