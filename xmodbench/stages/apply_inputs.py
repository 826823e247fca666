"""The volumes that one result of `apply` is made of, DICOM series made into files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from xmodbench.errors import UserError
from xmodbench.files import sha256_files
from xmodbench.stages.apply_items import Item
from xmodbench.stages.apply_model import Wish

if TYPE_CHECKING:
    from xmodbench.data.volumes.dicom_series import Series


@dataclass
class Inputs:
    """What one result is made of, by source modality in the order of the method's channels.

    Attributes:
        files: NIfTI, NRRD or MetaImage.
        given: what these were made of, for messages; the files themselves, or folders of DICOM images.
        series: of those folders, what was chosen in them.
        facts: of those series, the name and hash that the record states.
        remarks: what was assumed when files were made of them.
    """

    files: dict[str, Path]
    given: dict[str, Path]
    series: dict[str, Series] = field(default_factory=dict)
    facts: dict[str, dict[str, str]] = field(default_factory=dict)
    remarks: dict[str, str] = field(default_factory=dict)

    def of_what_was_given(self, error: UserError) -> UserError:
        """The same error, told of what the user gave."""
        made = {str(path): self.given[name] for name, path in self.files.items()}
        return UserError(error.what, made.get(str(error.where), error.where), error.fix)

    def in_several_frames(self) -> list[str]:
        """What speaks against series that do not say that they lie in one space."""
        frames = {series.frame for series in self.series.values()}
        if len(self.series) < 2 or (len(frames) == 1 and frames != {""}):
            return []
        return [f"{' and '.join(self.series)} do not say that they are in one frame of reference"]


def inputs_of(item: Item, wish: Wish, scratch: Path) -> Inputs:
    """The volumes of an item, DICOM series as files of `scratch`."""
    inputs = Inputs(dict(item.given), dict(item.given))
    for name, folder in item.given.items():
        if not folder.is_dir():
            continue
        from xmodbench.data.volumes.dicom_volumes import convert_series

        path = scratch / f"{name}.nii.gz"
        series, remarks = convert_series(folder, path, wish.series.get(name, wish.series.get("")))
        inputs.files[name], inputs.series[name] = path, series
        hashed = sha256_files({one.path for one in series.slices}, folder)
        inputs.facts[name] = {"file": folder.name, "sha256": hashed}
        if remarks:
            inputs.remarks[name] = "; ".join(remarks)
    return inputs
