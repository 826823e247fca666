"""Archives in the layout of the real ones, filled with small simulated scans."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile
from pathlib import Path

from xmodbench.plugins import DATASETS, find
from xmodbench.progress import Progress

IXI = "/biomedic.doc.ic.ac.uk/brain-development/downloads/IXI"
EASY = "/ns9999k.webs.sigma2.no/10.11582_2020.00025/EASY-RESECT.zip"
RECORD = "/zenodo.org/api/records/583096"
HEADS = ("IXI002-Guys-0828", "IXI012-HH-1211")
CASES = ("Case1", "Case23")
PATIENTS = ("1_01_P", "2_03_P", "3_03_P")


def real_archives(folder: Path) -> dict[str, bytes]:
    """By address: IXI's two tars, EASY-RESECT's zip, Gold Atlas' zips and their record."""
    return _ixi(folder / "heads") | _easy(folder / "cases") | _gold(folder / "pelves")


def _simulate(name: str, folder: Path, count: int, scale: float) -> list[str]:
    plugin = find(DATASETS, name)
    dataset = plugin.cls(plugin.cls.Config(n_subjects=count, scale=scale))
    dataset.acquire(folder, 1, Progress(quiet=True))
    return dataset.subjects()


def _ixi(folder: Path) -> dict[str, bytes]:
    made = {}
    subjects = _simulate("sim_ixi", folder, len(HEADS), 4)
    for modality in ("T1", "PD"):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as file:
            for ours, theirs in zip(subjects, HEADS, strict=True):
                file.add(folder / f"{ours}-{modality}.nii.gz", f"{theirs}-{modality}.nii.gz")
        made[f"{IXI}/IXI-{modality}.tar"] = buffer.getvalue()
    return made


def _easy(folder: Path) -> dict[str, bytes]:
    subjects, buffer = _simulate("sim_curious", folder, len(CASES), 4), io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("EASY-RESECT/.DS_Store", b"x")
        for ours, theirs in zip(subjects, CASES, strict=True):
            for name in ("T1", "FLAIR"):
                body = (folder / f"EASY-RESECT/NIFTI/{ours}/{ours}-{name}-resize.nii").read_bytes()
                file.writestr(f"EASY-RESECT/NIFTI/{theirs}/{theirs}-{name}-resize.nii", body)
                file.writestr(f"__MACOSX/EASY-RESECT/NIFTI/{theirs}/._{theirs}-{name}-resize.nii", b"x")
    return {EASY: buffer.getvalue()}


def _gold(folder: Path) -> dict[str, bytes]:
    made, entries = {}, []
    for ours, theirs in zip(_simulate("sim_goldatlas", folder, len(PATIENTS), 5), PATIENTS, strict=True):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
            for path in sorted((folder / ours).iterdir()):
                file.write(path, path.name)
        body, name = buffer.getvalue(), f"{theirs}.zip"
        made[f"{RECORD}/files/{name}/content"] = body
        entries.append({"key": name, "size": len(body), "checksum": "md5:" + hashlib.md5(body).hexdigest()})
    return made | {RECORD: json.dumps({"files": entries}).encode()}


def write_small_ixi(folder: Path, files: dict[str, bytes]) -> None:
    """The real plugin in a working directory, told the sizes and digests of the small archives."""
    target = _copy_plugin("ixi", folder)
    code = (target / "dataset.py").read_text()
    for modality, size, md5 in (
        ("T1", "4_840_816_640", "34901a0593b41dd19c1a1f746eac2d58"),
        ("PD", "4_068_966_400", "88ecd9d1fa33cb4a2278183b42ffd749"),
    ):
        body = files[f"{IXI}/IXI-{modality}.tar"]
        assert size in code and md5 in code
        code = code.replace(size, str(len(body))).replace(md5, hashlib.md5(body).hexdigest())
    (target / "dataset.py").write_text(code)


def write_small_goldatlas(folder: Path) -> None:
    """The real plugin in a working directory, for the few patients that are simulated."""
    target = _copy_plugin("goldatlas", folder)
    with open(target / "dataset.py", "a") as code:
        code.write(f"\nPATIENTS = {PATIENTS}\n")


def _copy_plugin(name: str, folder: Path) -> Path:
    target = folder / "data_prep" / name
    target.mkdir(parents=True)
    for path in find(DATASETS, name).folder.iterdir():
        if path.is_file():
            (target / path.name).write_bytes(path.read_bytes())
    return target
