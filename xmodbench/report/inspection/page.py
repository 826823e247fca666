"""The page over all subjects of a prepared data set: one file, pictures and all."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup, escape

from xmodbench.files import write_text
from xmodbench.progress import Progress
from xmodbench.report.inspection.section import data_section, style

PAGE = Markup("""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{name}</title><style>
body {{ font: 16px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; color: #1c2430; background: #fff;
max-width: 84rem; margin: 1rem auto 3rem; padding: 0 1.25rem }}
h1 {{ font-size: 1.6rem; margin: .6rem 0 }} h2 {{ font-size: 1.15rem; margin: 1.6rem 0 .3rem }} p {{ margin: .4rem 0 }}
{style}</style></head><body>
{section}
</body></html>
""")


def inspect_dataset(data_dir: Path, out_dir: Path, progress: Progress) -> Path:
    """Write ``index.html`` with a picture of every subject.

    Args:
        data_dir: folder of the slice stores ``train`` and ``test``.

    Returns:
        The page.

    Raises:
        UserError: the data set is not prepared.
    """
    section = data_section(Path(data_dir), max_subjects=None, tile=128, heading=1, progress=progress)
    for subject in section.facts.mispaired:
        progress.say(f"{subject.name}, pairing doubtful: {'; '.join(subject.suspected)}")
    page = Path(out_dir) / "index.html"
    write_text(page, PAGE.format(name=escape(section.facts.name), style=Markup(style()), section=Markup(section.html)))
    return page
