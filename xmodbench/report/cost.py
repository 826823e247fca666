"""What a translation took."""

from __future__ import annotations

from xmodbench.report.collect import CellResult


def seconds_per_image(item: CellResult) -> float | None:
    """Seconds of the translation's job, loading the model included, per slice; None where nobody says. Of one divided
    among jobs, all of them together."""
    record = item.records.get("translate", {})
    if record.get("verb") == "import-predictions":
        return None  # it says how long they took to read
    seconds, count = record.get("parts_duration_s", record.get("duration_s")), record.get("n_test")
    return _number(seconds, count)


def _number(seconds: object, count: object) -> float | None:
    numbers = [value for value in (seconds, count) if isinstance(value, (int, float)) and not isinstance(value, bool)]
    return numbers[0] / numbers[1] if len(numbers) == 2 and numbers[1] > 0 and numbers[0] > 0 else None
