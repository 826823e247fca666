"""The options of preparing a data set. Imports no image library."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from xmodbench.plugins import Settings

Fraction = Annotated[float, Field(ge=0, le=1)]
Spacing = Annotated[float, Field(gt=0, le=20)]
# one letter of each pair, in any order
Orientation = Annotated[
    str, Field(pattern=r"^([LR]([AP][SI]|[SI][AP])|[AP]([LR][SI]|[SI][LR])|[SI]([LR][AP]|[AP][LR]))$")
]


class Normalisation(Settings):
    """How the intensities of one modality become [0, 1]."""

    method: Literal["percentile", "window", "minmax_slice", "zscore"] = Field(
        "percentile",
        description="`percentile`: between two percentiles of the volume inside the head or body; `window`: between two "
        "fixed values (CT, in HU); `minmax_slice`: each slice by its own range; `zscore`: mean +- 3 sd inside the mask.",
    )
    low: float | None = Field(None, description="Lower percentile (0.5 if left out) or lower end of the window.")
    high: float | None = Field(None, description="Upper percentile (99.5 if left out) or upper end of the window.")
    fill: float = Field(0.0, description="Raw value outside the scanned field: 0 for MR, -1000 for CT in HU.")
    floor: float | None = Field(
        None, description="Raw values below it are raised to it; 0 where an interpolation left MR values below 0."
    )
    mask_above: float | None = Field(
        None,
        description="Raw value above which a voxel is head or body (-500 for CT); found by Otsu's method if left out.",
    )
    mask_opening_mm: float = Field(
        0.0,
        ge=0,
        le=50,
        description="Plates and strands up to twice this thick are no head or body: takes the couch off a CT.",
    )

    @model_validator(mode="after")
    def _check(self) -> Normalisation:
        low, high = self.low, self.high
        if self.method == "window" and (low is None or high is None):
            raise ValueError("a window needs `low` and `high`")
        if self.method == "percentile" and not 0 <= self.range[0] < self.range[1] <= 100:
            raise ValueError("percentiles need 0 <= low < high <= 100")
        if low is not None and high is not None and low >= high:
            raise ValueError("`low` must be below `high`")
        return self

    @property
    def range(self) -> tuple[float, float]:
        """``low`` and ``high`` with the defaults of percentiles filled in."""
        return 0.5 if self.low is None else self.low, 99.5 if self.high is None else self.high


class SliceSelection(Settings):
    """Which slices are taken along the axis; at most one way of choosing, every slice if none is given."""

    stride_mm: float | None = Field(None, gt=0, description="One slice per so many millimetres.")
    stride_slices: int | None = Field(None, ge=1, description="Every so many slices of the grid.")
    fractions: tuple[Fraction, ...] | None = Field(
        None, min_length=1, description="Slices at these fractions of the height (see `height_range`), 0 the lower end."
    )
    count: int | None = Field(None, ge=1, description="So many slices at equal distances over the `height_range`.")
    height_range: tuple[Fraction, Fraction] = Field(
        (0.0, 1.0),
        description="Part of the head's or body's extent along the axis that slices are taken from; 0 is its lower end "
        "(axial), front (coronal) or right (sagittal). Given with `fractions`, those are within this part. The extent is "
        "that in the scan: where a scan ends in the neck, so does the head (see `height_mm`).",
    )
    height_mm: float | None = Field(
        None,
        gt=0,
        description="Heights are of so many millimetres below the top of the head or body (in front of its back, to the "
        "right of its left side) instead of its extent in the scan: how far down a scan reaches then moves no slice.",
    )

    @model_validator(mode="after")
    def _check(self) -> SliceSelection:
        ways = [self.stride_mm, self.stride_slices, self.fractions, self.count]
        if sum(way is not None for way in ways) > 1:
            raise ValueError("choose one of stride_mm, stride_slices, fractions, count")
        if self.height_range[0] >= self.height_range[1]:
            raise ValueError("height_range must rise")
        return self


class Split(Settings):
    """Which subjects are for testing. A lone subject is split by blocks of slices instead."""

    order: Annotated[str, Field(pattern=r"^(sorted|site_stratified|random(:\d{1,18})?)$")] = Field(
        "sorted",
        description="`sorted`: the first subjects by name train, the last test; `site_stratified`: so at each site, which "
        "all give the same share; `random`: shuffled by the run's seed; `random:7`: by a seed of its own.",
    )
    n_train: int | None = Field(None, ge=1, description="Training subjects; all that are left if not given.")
    n_test: int | None = Field(None, ge=1, description="Test subjects; overrides `test_fraction`.")
    test_fraction: float = Field(
        0.2, gt=0, lt=1, description="Share of subjects (of slices, for a lone one) to test on."
    )
    file: str | None = Field(
        None,
        exclude=True,
        description="A split by name: CSV with the columns `subject` and `split` (`train` or `test`, other rows do not "
        "count) as `prepare` writes it, or JSON with the lists `train` and `test`, or a store's manifest. In the working "
        "directory, else in the repository. Its names become `train_subjects` and `test_subjects`.",
    )
    train_subjects: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="Training subjects by name, with `test_subjects`: other subjects are left out, and those that are not "
        "there passed over; the first `n_train` and `n_test` that are there are taken.",
    )
    test_subjects: tuple[str, ...] | None = Field(
        None, min_length=1, description="Test subjects by name; overrides the other ways of choosing."
    )
    gap_mm: float = Field(
        10.0, ge=0, description="A lone subject only: distance left out between the training and the test block."
    )

    @model_validator(mode="before")
    @classmethod
    def _read_file(cls, values: Any) -> Any:
        # the names, not the file, are what a result depends on: they go into every record and parameter
        if not isinstance(values, dict) or values.get("file") is None:
            return values
        if {"train_subjects", "test_subjects"} & set(values):
            raise ValueError("give `file`, or the subjects by name, not both")
        from xmodbench.data.volumes.split_file import read_split

        train, test = read_split(values["file"])
        others = {key: value for key, value in values.items() if key != "file"}
        return {**others, "train_subjects": train, "test_subjects": test}

    @model_validator(mode="after")
    def _check(self) -> Split:
        if self.train_subjects is not None:
            if self.test_subjects is None:
                raise ValueError("`train_subjects` needs `test_subjects`")
            both = sorted(set(self.train_subjects) & set(self.test_subjects))
            if both:
                raise ValueError(f"{both[0]} is to train and to test")
        return self


class Preparation(Settings):
    """How volumes become slices. Every option changes the slices, so each is part of the data set's manifest."""

    image_size: int = Field(128, ge=16, le=1024, description="Height and width of the slices, pixels.")
    reference: str | None = Field(
        None,
        description="Modality whose grid the others are brought to, and the fixed image of a registration; the first "
        "modality if left out.",
    )
    assume_orientation: Orientation | None = Field(
        None,
        description="Where a file does not say how it lies (NIfTI with qform_code and sform_code 0, NRRD without a space, "
        "MetaImage without TransformMatrix): the directions to which its three axes run, LPS for left, back (posterior) and "
        "head (superior); its middle is taken as the origin. Such files are refused if left out.",
    )
    spacing_mm: Spacing | tuple[Spacing, Spacing, Spacing] | None = Field(
        None,
        description="Voxel size to resample to before slicing: one value, or left-right, front-back, up-down (with `axis: "
        "stored` in the order of the file's axes); the reference's own if left out.",
    )
    axis: Literal["axial", "coronal", "sagittal", "stored"] = Field(
        "axial",
        description="Plane of the slices. `stored`: across the third axis of the reference's file, in whichever of the "
        "three planes that is nearest to.",
    )
    slices: SliceSelection = Field(SliceSelection(), description="Which slices are taken.")
    min_foreground: Fraction = Field(0.05, description="Slices with a smaller share of head or body are left out.")
    fov_mm: float | None = Field(
        None,
        gt=0,
        description="Side of the square field of view cut out around the head or body; the whole slice, padded "
        "to a square, if left out.",
    )
    normalise: dict[str, Normalisation] = Field(
        default_factory=dict,
        description="Intensity normalisation by modality; percentiles 0.5 and 99.5 where not given.",
    )
    mask_from: str | None = Field(
        None, description="Modality in which the head or body is found; the reference if left out."
    )
    mask_background: bool = Field(False, description="Set everything outside the head or body to 0.")
    n4: bool = Field(
        False,
        description="Take the uneven sensitivity of the coils out of MR before anything else (N4). Modalities normalised by "
        "a fixed window, such as CT, are left alone.",
    )
    interpolation: Literal["linear", "bspline"] = Field("linear", description="Of the one resampling of each volume.")
    resample: Literal["world", "refuse"] = Field(
        "world",
        description="Modalities on different grids: `world` takes their headers' positions as shared and resamples "
        "onto the reference's grid; `refuse` excludes the subject.",
    )
    registration: Literal["none", "rigid"] = Field(
        "none",
        description="`rigid`: the other modalities are aligned to the reference (6 degrees of freedom, mutual "
        "information).",
    )
    registration_limit_mm: float = Field(
        15.0,
        gt=0,
        description="A registration that moves the head or body further from where the headers put it is rejected.",
    )
    rejected_registration: Literal["exclude", "keep"] = Field(
        "exclude",
        description="A subject whose registration fails the acceptance test: left out, or kept as the headers say.",
    )
    split: Split = Field(Split(), description="Division into training and test subjects.")
    exclude: dict[str, str] = Field(default_factory=dict, description="Subjects left out, with the reason.")

    def normalisation(self, modality: str) -> Normalisation:
        """The modality's normalisation, the default where none was set."""
        return self.normalise.get(modality, Normalisation())
