"""One command for the GPU: everything that can be measured there in nine minutes, most important first.

    bash benchmarks/on_gpu.sh --out DIR                     on a machine with torch and little else, after `make gpu-bundle`
    python benchmarks/on_gpu.py --out DIR [--tiny] [--device cpu] [--parts tests lmi] [--budget 540]
    python benchmarks/on_gpu.py --page [DIR/gpu.json]       make docs/gpu.md, of the figures kept in docs or of new ones

Each part is a process with a time limit of its own; a failure costs its own part. After every part ``gpu.json`` and
``gpu.md`` are whole; ``gpu.log`` is what was printed, ``heads.png`` shows translations. `--tiny` rehearses all of it in the
smallest sizes. The exit code is 0 where every part succeeded. Nothing but the standard library is needed to start.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from gpu_parts import MACHINE, parts
from gpu_run import Outcome, run_all
from gpu_tables import markdown

ROOT = Path(__file__).resolve().parents[1]
BUDGET_S = 540.0


def commit(bundle: Path) -> str:
    """What is measured: the commit of this checkout, or the one that the bundle was made for."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        file = bundle / "commit"
        return file.read_text().strip() if file.is_file() else "unknown"


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


class Report:
    """The files in the output folder, after each part."""

    def __init__(self, out: Path, given: argparse.Namespace):
        self.out, self.began, self.outcomes = out, time.monotonic(), []
        self.facts = {
            "format": 1,
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "commit": commit(given.bundle),
            "device": given.device,
            "tiny": given.tiny,
            "budget_s": given.budget,
        }

    def add(self, outcomes: list[Outcome]) -> None:
        """Write all outcomes so far, and say how the last one went."""
        self.outcomes, last = outcomes, outcomes[-1]
        machine = next((dict(o.tables[0]["rows"]) for o in outcomes if o.name == MACHINE and o.tables), {})
        shown = [asdict(one) for one in outcomes if one.name != MACHINE or one.status != "ok"]
        found = {**self.facts, "machine": machine, "seconds": round(time.monotonic() - self.began, 1), "parts": shown}
        write(self.out / "gpu.json", json.dumps(found, indent=1, sort_keys=True) + "\n")
        write(self.out / "gpu.md", markdown(found))
        print(f"{last.name}: {last.status}, {last.seconds:.0f} s {last.last_line}".rstrip(), flush=True)


def measure(given: argparse.Namespace) -> int:
    """Run the parts; 0 where all went well."""
    out = given.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    for old in ("gpu.json", "gpu.md", "gpu.log", "heads.png"):
        (out / old).unlink(missing_ok=True)
    chosen = parts(given.device, given.tiny, given.bundle.absolute(), out)
    if given.parts:
        chosen = [part for part in chosen if part.name in (MACHINE, *given.parts)]
    with tempfile.TemporaryDirectory(prefix="on-gpu-") as folder:
        # kernels that one part compiled are there for the next
        os.environ.setdefault("TRITON_CACHE_DIR", f"{folder}/triton")
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", f"{folder}/inductor")
        outcomes = run_all(chosen, given.budget, Path(folder), out / "gpu.log", Report(out, given).add)
    print("\n" + (out / "gpu.md").read_text(encoding="utf-8"))
    return int(any(one.status != "ok" for one in outcomes))


def device_of(asked: str) -> str:
    """``cuda`` for ``auto`` where there are signs of a GPU, without loading torch."""
    if asked != "auto":
        return asked
    return "cuda" if any(Path("/dev").glob("nvidia[0-9]*")) or shutil.which("nvidia-smi") else "cpu"


def main() -> None:
    """Measure, or make the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder of gpu.json, gpu.md, gpu.log and heads.png")
    parser.add_argument("--device", default="auto", choices=("auto", "cuda", "cpu"))
    parser.add_argument("--tiny", action="store_true", help="the smallest sizes: a rehearsal")
    names = [part.name for part in parts("cuda", False, Path(), Path())]
    parser.add_argument("--parts", nargs="+", choices=names, help="only these, and the machine")
    parser.add_argument("--budget", type=float, default=BUDGET_S, help="seconds for everything")
    bundle = Path(os.environ.get("GPU_BUNDLE", ROOT / "build" / "gpu"))
    parser.add_argument("--bundle", type=Path, default=bundle, help="what `make gpu-bundle` made")
    parser.add_argument("--page", nargs="?", const="", metavar="JSON", help="make docs/gpu.md instead")
    given = parser.parse_args()
    if given.page is not None:
        from gpu_page import write_page

        write_page(Path(given.page) if given.page else None)
        return
    if given.out is None:
        parser.error("give --out DIR, or --page")
    given.device = device_of(given.device)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that the part at work is ended too
    sys.exit(measure(given))


if __name__ == "__main__":
    main()
