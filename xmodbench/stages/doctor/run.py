"""What a run needs beside software: data, tokens, weights, files that settings name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from xmodbench.commands import command, documentation
from xmodbench.data.download.archived import FromArchives
from xmodbench.data.download.remote import SHARE_TOKEN, TOKEN, human_size
from xmodbench.errors import UserError, amount
from xmodbench.metrics.weights import NAME, OFFICIAL_URL, VARIABLE, cache_dir
from xmodbench.plan.plan import Plan
from xmodbench.plugins import DATASETS, Dataset, RemoteFile, available, find
from xmodbench.records import is_recorded
from xmodbench.stages.doctor.fact import Fact, lacking

GROUP = "data and files"
TOKENS = (TOKEN, SHARE_TOKEN)


def of_run(plan: Plan | None) -> Iterator[Fact]:
    """Facts about the data sets of a run, or of all that are found, and about the files that it names."""
    by_token = False
    for name, dataset, raw, data in _datasets(plan):
        wanted = _lacking(dataset, raw)
        by_token = by_token or any(not file.urls for file in wanted)
        yield _data(name, dataset, raw, data, wanted, plan is not None)
    yield _token(by_token and plan is not None)
    yield _weights(plan)
    if plan is not None:
        yield from _files(plan)


def _datasets(plan: Plan | None) -> Iterator[tuple[str, Dataset, Path, Path]]:
    if plan is not None:
        for name, dataset in plan.datasets.items():
            yield name, dataset, plan.raw_dir(name), plan.data_dir(name)
        return
    for name in available(DATASETS):
        try:
            cls = find(DATASETS, name).cls
            dataset = cls(cls.Config())
        except (UserError, ValueError):  # broken, or one that says nothing by itself, such as own volumes
            continue
        yield name, dataset, Path("raw") / name, Path("data") / name


def _lacking(dataset: Dataset, raw: Path) -> list[RemoteFile]:
    return dataset.lacking(raw) if isinstance(dataset, FromArchives) else []


def _data(name: str, dataset: Dataset, raw: Path, data: Path, wanted: list[RemoteFile], asked: bool) -> Fact:
    """A data set that is prepared, there, to be had by the run itself, or for a person to get."""
    if is_recorded(data, "prepare"):
        return Fact(GROUP, name, "ok", f"prepared ({data})")
    if dataset.simulated:
        return Fact(GROUP, name, "ok", "will be simulated")
    if wanted:
        by_hand = [file for file in wanted if not file.urls]
        sizes = [file.size for file in wanted]
        total = human_size(sum(size for size in sizes if size)) if all(sizes) else "size not published"
        told = f"{len(wanted)} of {len(dataset.archives())} archives to fetch ({total})"
        if by_hand and not _given_token():
            fix = by_hand[0].note or f"`{command('acquire', name, '--dry-run')}` says how"
            return Fact(GROUP, name, lacking(asked), told, fix)
        return Fact(
            GROUP, name, "ok" if asked else "optional", told, f"`{command('acquire', name)}`, or let the run do it"
        )
    if not raw.is_dir():
        fix = f"put the volumes there, or name their folder: --set datasets.{name}.raw=/my/volumes"
        return Fact(GROUP, name, lacking(asked), f"no folder {raw}", fix)
    try:
        found = len(dataset.volumes(raw))
    except UserError as error:
        return Fact(GROUP, name, lacking(asked), str(error), f"see {documentation('data.md')}")
    return Fact(GROUP, name, "ok", f"{amount(found, 'subject')} in {raw}, to be prepared")


def _given_token() -> bool:
    return any(os.environ.get(name, "").strip() for name in TOKENS)


def _token(needed: bool) -> Fact:
    given = [name for name in TOKENS if os.environ.get(name, "").strip()]
    if given:
        return Fact(GROUP, "token for Zenodo", "ok", f"{' and '.join(given)} set")
    fix = f"export {SHARE_TOKEN}=... ({documentation('data.md')})"
    return Fact(GROUP, "token for Zenodo", lacking(needed), "none", fix)


def _weights(plan: Plan | None) -> Fact:
    """The Inception weights of FID, by whether they are there; their hash is checked where they are used."""
    setting = (plan.config.scoring.fid_weights if plan else None) or os.environ.get(VARIABLE)
    name, fix = "weights for FID", f"get {OFFICIAL_URL}, then export {VARIABLE}=/its/path"
    if not setting:
        return Fact(GROUP, name, "optional", "none: the FID column will say so", fix)
    if setting.startswith(("https://", "http://")):
        there = (cache_dir() / NAME).is_file()
        return Fact(GROUP, name, "ok", "downloaded" if there else f"to be downloaded from {setting}")
    there = Path(setting).expanduser().is_file()
    return Fact(
        GROUP,
        name,
        "ok" if there else "missing",
        setting if there else f"no such file: {setting}",
        "" if there else fix,
    )


def _files(plan: Plan) -> Iterator[Fact]:
    """Files that settings of methods name."""
    seen = set()
    for method in plan.methods.values():
        for option in method.plugin.meta.get("files", []):
            for settings in method.settings.values():
                value = getattr(settings, option, None)
                if value is None or (method.family, option, value) in seen:
                    continue
                seen.add((method.family, option, value))
                there = Path(value).is_file()
                told, fix = (str(value), "") if there else (f"no such file: {value}", f"name another under {option}")
                yield Fact(GROUP, f"{method.family}.{option}", "ok" if there else "missing", told, fix)
