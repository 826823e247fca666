"""Files that may be volumes, and what can be told from where they lie: too many for a modality, links that lead nowhere."""

from __future__ import annotations

from pathlib import Path

from xmodbench.errors import UserError
from xmodbench.files import files_below
from xmodbench.plugins import SubjectRecord

SUFFIXES = (".nii.gz", ".nii", ".hdr.gz", ".hdr", ".nrrd", ".nhdr", ".mha", ".mhd")


def volume_names(raw_dir: Path) -> tuple[list[str], list[str]]:
    """Volume files below a folder, and links that lead nowhere; relative and sorted.

    Hidden files and Mac archive leftovers do not count.
    """
    if not raw_dir.is_dir():
        raise UserError("no such folder", raw_dir, "put the volumes there, or name their folder in `raw`")
    paths = [(path, path.relative_to(raw_dir)) for path in files_below(raw_dir)]
    paths = [(path, name) for path, name in paths if not any(part.startswith("__MACOSX") for part in name.parts)]
    volumes = [name.as_posix() for _, name in paths if name.name.lower().endswith(SUFFIXES)]
    return sorted(volumes), sorted(name.as_posix() for path, name in paths if not path.exists())


def record_of(subject: str, site: str, files: dict[str, list[str]], raw_dir: Path) -> SubjectRecord:
    """A subject with the files found for it by modality, of which each should be one file, there, and of one modality."""
    distinct = {name: _distinct([raw_dir / file for file in found]) for name, found in files.items()}
    there = {name: found[0] for name, found in distinct.items() if found[0].exists()}
    return SubjectRecord(subject, site, there, _problem(distinct, raw_dir))


def _distinct(paths: list[Path]) -> list[Path]:
    """Paths without those that lead to a file that is among them already."""
    return list({path.resolve(): path for path in reversed(paths)}.values())[::-1]


def _problem(files: dict[str, list[Path]], raw_dir: Path) -> str | None:
    """Why the files of a subject cannot be used, None where they can."""
    modality_of: dict[Path, str] = {}
    for name, found in sorted(files.items()):
        given = [path.relative_to(raw_dir).as_posix() for path in found]
        if len(found) > 1:
            return f"{len(found)} files for {name}: {', '.join(given[:3])}"
        if not found[0].exists():
            return f"{given[0]} is a link that leads nowhere"
        other = modality_of.setdefault(found[0].resolve(), name)
        if other != name:
            return f"{given[0]} is {other} and {name} at once"
    return None


def at_two_sites(subject: str, where: dict[str, str], raw_dir: Path) -> UserError:
    """What to say of a subject that has files at several sites; `where` is a file of each site."""
    (one, file), (other, another) = sorted(where.items())[:2]
    # not left out by itself: sites may number their subjects alike, and then most would be lost in silence
    problem = f"'{subject}' is at two sites, {one} and {other} ({file}, {another}), and may be one person or two"
    fix = "let the site be part of the name (`{subject}` for both, `subject_pattern: (?P<site>[^/]+)/[^/]+`) or `exclude` it"
    return UserError(problem, raw_dir, fix)
