"""The jobs behind the numbers, for the table of provenance and timing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xmodbench.report.model import Report


@dataclass(frozen=True)
class Job:
    """One finished job, for the provenance table."""

    name: str
    verb: str
    record: dict[str, Any]

    @property
    def per_image(self) -> float | None:
        """Seconds per image of a translation."""
        count, seconds = self.record.get("n_test"), self.seconds
        return seconds / count if self.verb == "translate" and count and seconds is not None else None

    @property
    def seconds(self) -> float | None:
        """How long it took; of a translation divided among jobs, all of them together. None where nobody says."""
        return self.record.get("parts_duration_s", self.record.get("duration_s"))

    @property
    def hashes(self) -> dict[str, str]:
        """All hashes in the record, by name."""
        found: dict[str, str] = {}
        for key, value in self.record.items():
            if "sha256" in key or "hash" in key or key == "code":
                nested = value.items() if isinstance(value, dict) else [("", value)]
                found |= {f"{key} {name}".strip(): str(item) for name, item in nested}
        return found


def jobs(report: Report) -> list[Job]:
    """The jobs of all cells, each once (a zero-shot model serves several cells)."""
    # by their times too: runs that were merged may each have trained one model
    found: dict[tuple[str, str, str], Job] = {}
    for item in report.runs:
        cell, plan, training = item.cell, report.plan, report.plan.training(item.cell)
        names = dict.fromkeys(("acquire", "prepare"), cell.dataset) | dict.fromkeys(("translate", "score"), cell.name)
        if training:
            model = f"{cell.dataset} {plan.model_name(cell)}"
            names |= {"train": f"{training.name} {model}"}
            names |= {"pretrain": f"{(training.pretraining or training).name} {model}"}
        for verb, record in item.records.items():
            shown = "import-predictions" if verb == "translate" and plan.predictions(cell) else verb
            found.setdefault((verb, names[verb], str(record.get("started"))), Job(names[verb], shown, record))
    return list(found.values())


def software(report: Report) -> dict[str, str]:
    """Versions of the software that scored, from the first record that has them."""
    records = [job.record for job in jobs(report) if job.verb == "score"]
    return records[0].get("versions", {}) if records else {}
