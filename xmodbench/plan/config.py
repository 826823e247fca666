"""The config: pydantic models that are the single truth for what can be set, its schema and its documentation."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from xmodbench.errors import UserError, did_you_mean
from xmodbench.files import SHIPPED
from xmodbench.plugins.settings import NAME, Id, no_truth, validated
from xmodbench.plugins.shape import MOST_SOURCES
from xmodbench.yaml_text import read_yaml

_SOURCE = rf"{NAME}(\+{NAME}){{0,{MOST_SOURCES - 1}}}"
Direction = Annotated[str, StringConstraints(pattern=rf"^{_SOURCE}->{NAME}$")]


def _writable(path: str) -> str:
    """Control characters are in no sensible name, braces are Snakemake's wildcards, and ~ and $ a shell's."""
    if path.startswith("~") or "$" in path:
        raise ValueError("neither ~ nor variables are filled in: write the whole path")
    bad = next((letter for letter in path if letter in "{}" or not letter.isprintable()), None)
    if bad:
        raise ValueError(f"a folder's name cannot hold {bad!r}")
    return path


def _each_once(seeds: list[int]) -> list[int]:
    if len(set(seeds)) < len(seeds):
        raise ValueError("holds a seed twice")
    return seeds


FID_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""Of ``pt_inception-2015-12-05-6726825d.pth``, the weights that define FID in pytorch-fid and torch-fidelity alike."""

OneSeed = Annotated[int, Field(ge=0, lt=2**31)]
Seeds = Annotated[list[OneSeed], Field(min_length=1, max_length=100), AfterValidator(_each_once)]
Folder = Annotated[str, AfterValidator(_writable)]


class Part(BaseModel):
    """Base of all parts of the config: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, defer_build=True)

    _numbers = field_validator("*", mode="before")(classmethod(no_truth))


class DatasetEntry(Part):
    """One data set of the benchmark."""

    plugin: Id | None = Field(None, description="Data-set plugin; the entry's own id if left out.")
    raw: Folder | None = Field(None, description="Folder of the raw volumes; `<paths.raw>/<id>` if left out.")
    directions: list[Direction] | None = Field(
        None,
        min_length=1,
        description="Translations to run, such as `t1->pd`, or `t1+t2->pd` from several at once, which only methods that "
        "take several translate; all pairs of modalities if left out.",
    )
    settings: dict[str, Any] = Field(default_factory=dict, description="The plugin's own options.")


class ModelFile(Part):
    """A model that `xmodbench export` wrote, to translate with instead of training."""

    file: Folder = Field(min_length=1, description="The zip.")
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        None, description="Its SHA-256, as `export` says it: another file is refused."
    )


def _file_alone(value: Any) -> Any:
    return {"file": value} if isinstance(value, str) else value


Model = Annotated[ModelFile, BeforeValidator(_file_alone, json_schema_input_type=str | ModelFile)]
ModelOf = Annotated[
    str,
    StringConstraints(pattern=rf"^([a-z][a-z0-9_-]{{0,40}}/)?({NAME}|{_SOURCE}->{NAME})$"),
]


class MethodEntry(Part):
    """One method of the benchmark; the same plugin may stand in it several times under different ids."""

    plugin: Id | None = Field(None, description="Method plugin; the entry's own id if left out.")
    label: str | None = Field(None, max_length=40, description="Name in tables and figures.")
    note: str | None = Field(
        None,
        max_length=300,
        description="A remark the report shows with the method's scores, such as what limits them.",
    )
    settings: dict[str, Any] = Field(default_factory=dict, description="The plugin's own options.")
    per_dataset: dict[Id, dict[str, Any]] = Field(
        default_factory=dict, description="Options that differ by data set: laid over `settings` for that one."
    )
    sweep: dict[str, list[Any]] = Field(
        default_factory=dict,
        description="Options to vary, each with its values, such as `{start: [0.2, 0.4]}`: a method for every combination, "
        "with ids such as `<id>-start-0_2`. Those that differ only in how they translate share one training.",
    )
    model_of: Id | None = Field(
        None,
        description="Method of this run whose trained models are used instead of training; `settings` may then hold only "
        "options of translation, laid over that method's.",
    )
    model: Model | None = Field(
        None,
        description="An exported model (a zip, or `{file: ..., sha256: ...}`) to translate with; nothing is trained, and "
        "`settings` may hold only options of translation. For a method that needs one model in this run.",
    )
    models: dict[ModelOf, Model] = Field(
        default_factory=dict,
        description="The same for several: by target (`t1: t1.zip`), or by direction (`pd->t1: both.zip`) for methods that "
        "are trained for one; `heads/t1` for one data set alone.",
    )
    translate_jobs: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="Jobs among which the slices of a direction are divided; the plugin's own number if left out. "
        "Changes no result.",
    )
    seeds: Seeds | None = Field(
        None,
        description="Seeds of this method in place of the run's, such as `[1, 2, 3]` for the few that matter most.",
    )

    @field_validator("sweep")
    @classmethod
    def _some_values(cls, value: dict[str, list[Any]]) -> dict[str, list[Any]]:
        for name, values in value.items():
            if not values:
                raise ValueError(f"'{name}' has no values")
        return value

    @model_validator(mode="after")
    def _one_source_of_models(self) -> Self:
        given = [name for name in ("model", "models", "model_of") if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"give one of {' and '.join(given)}")
        return self


Declared = Literal["zero-shot", "few-shot", "unpaired", "paired", "other", "undeclared"]
"""What the authors of predictions say that their method saw of this data set in training; nothing here can check it."""
Units = Literal["unit", "hu"]


class PredictionsEntry(Part):
    """Translations of one direction's test slices that were made elsewhere; entries of one id are one row of the table."""

    id: Id = Field(description="Id of the method that made them, as in file names.")
    name: str | None = Field(None, max_length=40, description="Name in tables and figures; the id if left out.")
    folder: Folder = Field(
        min_length=1, description="Folder of the images: NIfTI and other volumes, PNG or npy (docs/score-your-own.md)."
    )
    dataset: Id = Field(description="Data set of this run whose test slices were translated.")
    direction: Direction = Field(description="Translation, such as `t1->pd`.")
    supervision: Declared = Field(
        "undeclared", description="What the method saw of this data set in training, as its authors declare it."
    )
    units: Units = Field(
        "unit",
        description="`unit`: values are in [0, 1], as in the inputs that others are given (in PNG the whole "
        "range of its bits); `hu`: Hounsfield units, where the data set maps the target by a fixed window.",
    )
    files: str | None = Field(
        None,
        description="How files are named where it is not `{id}` or `{subject}` and an ending, such as `{id}_fake_B.png` or "
        "`{subject}/ct.nii.gz`.",
    )
    partial: bool = Field(
        False, description="Score what is there where test slices are missing; marks the row and leaves it unranked."
    )
    note: str | None = Field(None, max_length=300, description="A remark the report shows with the scores.")

    @property
    def label(self) -> str:
        """Its name in tables."""
        return self.name or self.id

    @property
    def pair(self) -> tuple[str, str]:
        """Source and target."""
        source, target = self.direction.split("->")
        return source, target

    def decisive(self) -> dict[str, Any]:
        """What of it decides the images that are scored, beside the files themselves, and what a record has to tell."""
        return self.model_dump(include={"supervision", "units", "files", "partial"})


class Paths(Part):
    """Where things are kept, relative to the working directory."""

    raw: Folder = Field("raw", min_length=1, description="Raw volumes, a folder per data set.")
    data: Folder = Field("data", min_length=1, description="Slice stores, a folder per data set.")
    results: Folder = Field("results", min_length=1, description="Outputs, a folder per run.")
    work: Folder = Field("work", min_length=1, description="Training state for resuming; safe to delete after a run.")


class Compute(Part):
    """How jobs run. Only `processes` and `tf32` change a result beyond rounding."""

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="`auto` takes a GPU where there is one.")
    threads: int = Field(4, ge=1, le=256, description="CPU threads of a training or translation job.")
    processes: int = Field(
        1,
        ge=1,
        le=64,
        description="Processes, each with a GPU where there are any, that train one model together, for methods that can "
        "(docs/speed.md). A diffusion model's batch is multiplied by their number, a GAN's divided: this changes results.",
    )
    nodes: int = Field(
        1,
        ge=1,
        le=64,
        description="Nodes of a Slurm cluster among which `processes` are divided (docs/clusters.md).",
    )
    tf32: bool = Field(
        False,
        description="Let GPUs round what they multiply to TF32, 10 bits instead of 23: several times as fast where there is "
        "hardware for it. torch's own default, to do so in convolutions only, is not used.",
    )
    batch_size: int = Field(64, ge=1, le=4096, description="Slices translated at once; a CPU takes them one by one.")
    container: str | None = Field(
        None,
        min_length=1,
        description="Image that `--sdm apptainer` runs the jobs in: a .sif file, or an address such as docker://... "
        "(docs/clusters.md).",
    )

    @model_validator(mode="after")
    def _evenly(self) -> Self:
        if self.processes % self.nodes:
            raise ValueError(f"{self.processes} processes cannot be divided evenly among {self.nodes} nodes")
        return self


class Scoring(Part):
    """What is scored."""

    fid_weights: str | None = Field(
        None,
        description="Path or URL of pytorch-fid's Inception weights (sha256 is checked; the environment variable "
        "FID_WEIGHTS does the same). A URL is downloaded once. Without them the FID column says so, and why.",
    )
    fid_sha256: str | None = Field(
        None,
        description="SHA-256 of these weights, or its first digits, eight at least, as their file's name states them. It is "
        "known (6726825d...) and always checked: with other weights it would be no FID. Here it is for the record.",
    )
    field: bool = Field(
        True,
        description="Whether the field's own numbers are scored too (docs/metrics.md): inside the body, CT in HU, per slice "
        "and per volume, where the data set's stores keep what 0 and 1 stood for. Some milliseconds a slice.",
    )
    extra: list[Literal["ms_ssim_3d", "lpips", "totalsegmentator"]] = Field(
        default_factory=list,
        description="More of them that take long or need what is not here: the challenge's own 3-D MS-SSIM (a second or "
        "more a volume), LPIPS (needs weights), organs by TotalSegmentator (has to be installed). What cannot be had says "
        "why.",
    )
    lpips_weights: str | None = Field(
        None,
        description="Path of the AlexNet weights for `extra: [lpips]`, as torchvision publishes them (IMAGENET1K_V1).",
    )
    lpips_sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        None, description="Their SHA-256: another file is refused."
    )
    metrics: list[Id] = Field(
        default_factory=list,
        description="Metrics of one's own beside those that are always scored: plugins (docs/add-a-metric.md).",
    )
    bootstrap: int = Field(1000, ge=100, le=100_000, description="Resamples of subjects for the intervals of ranks.")

    @field_validator("fid_sha256")
    @classmethod
    def _of_the_weights(cls, value: str | None) -> str | None:
        if value is not None and (len(value) < 8 or not FID_SHA256.startswith(value.lower())):
            raise ValueError(f"is not that of pytorch-fid's Inception weights ({FID_SHA256})")
        return value

    @field_validator("metrics", "extra")
    @classmethod
    def _each_once(cls, value: list[str]) -> list[str]:
        return list(dict.fromkeys(value))

    @model_validator(mode="after")
    def _extras_of_something(self) -> Self:
        if self.extra and not self.field:
            raise ValueError("`extra` is part of the field's own numbers: set `field: true`, or take it out")
        return self


class Reporting(Part):
    """What the report shows."""

    title: str | None = Field(None, max_length=120, description="Title of the report; the run's id if left out.")
    figure_slices: int = Field(2, ge=1, le=8, description="Test slices per direction in the figure.")
    figures: bool = Field(
        True, description="Whether figures for print (PDF, SVG, PNG) are drawn into the folder `figures`."
    )
    plots: Folder = Field(
        "plots",
        min_length=1,
        description="Folder of Python files whose `plot(table)` returns a figure for the report (docs/report.md); it need "
        "not be there.",
    )
    cases: int = Field(
        60,
        ge=1,
        le=2000,
        description="Test slices per direction whose pictures are kept beside the report, to be looked at one by one.",
    )


class BenchmarkConfig(Part):
    """A benchmark run: data sets x directions x methods."""

    run: Id = Field(description="Name of the run; outputs go to `<paths.results>/<run>`.")
    seed: OneSeed = Field(1, description="Seed of everything random.")
    seeds: Seeds | None = Field(
        None,
        description="Seeds to train and translate with, each in turn, such as `[1, 2, 3]`: replicates, whose spread the "
        "report shows. Data are prepared and split with `seed` alone. If left out: `seed`.",
    )
    datasets: dict[Id, DatasetEntry] = Field(min_length=1, description="Data sets by id.")
    methods: dict[Id, MethodEntry] = Field(min_length=1, description="Methods by id, in the order of the table.")
    predictions: list[PredictionsEntry] = Field(
        default_factory=list,
        description="Translations made elsewhere, to be scored beside the methods; a list of the entries below.",
    )
    paths: Paths = Field(default_factory=Paths, description="Folders.")
    compute: Compute = Field(default_factory=Compute, description="Resources of jobs.")
    scoring: Scoring = Field(default_factory=Scoring, description="Metrics.")
    report: Reporting = Field(default_factory=Reporting, description="Report.")

    @field_validator("datasets", "methods", mode="before")
    @classmethod
    def _empty_entries(cls, value: Any) -> Any:
        # `copy_source:` alone in YAML is None: an entry with default settings
        return (
            {key: {} if entry is None else entry for key, entry in value.items()} if isinstance(value, dict) else value
        )


def load_config(path: str | os.PathLike, overrides: dict[str, Any] | None = None) -> BenchmarkConfig:
    """Read and check a config file; `overrides` are merged over it, key by key."""
    return parse_config(merge(read_yaml(path), overrides or {}), str(path))


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` laid over `base`, recursively; neither is changed."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def parse_config(values: dict[str, Any], where: str) -> BenchmarkConfig:
    """Check a config's values.

    Raises:
        UserError: one line for each problem, with the key's path and, for a typo, the key that was meant.
    """
    return validated(BenchmarkConfig, values, where)


def shipped_configs() -> list[str]:
    """Names of the configs that this package ships, such as ``smoke``."""
    return sorted(path.stem for path in (SHIPPED / "config").glob("*.yaml"))


def find_config(name: str) -> Path:
    """A config file: `name` itself where there is such a file, else the shipped config of that name.

    Raises:
        UserError: there is neither.
    """
    with suppress(OSError):  # too long for a name
        if Path(name).is_file():
            return Path(name)
    known = shipped_configs()
    if name in known:
        return SHIPPED / "config" / f"{name}.yaml"
    raise UserError("no such config file", name, did_you_mean(name, known) or f"shipped: {', '.join(known)}")
