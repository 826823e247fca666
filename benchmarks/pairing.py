"""What the check of pairs finds in prepared sets spoilt on purpose: `python benchmarks/pairing.py data/sim_ixi`.

Each subject in turn is spoilt in each way, and the set is judged as `xmodbench prepare` judges it. Found: the spoilt subject
is suspected; named: of what was done to it; elsewhere: sound subjects suspected. The first line is the data as they are.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from common import table

from xmodbench.data.pairing.judge import judge
from xmodbench.data.pairing.subject import Measured, measure
from xmodbench.store import SliceStore

Images = Mapping[str, np.ndarray]

HARMS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
    "one slice up": (lambda x: np.concatenate([x[1:], x[-1:]]), "one slice off"),
    "one slice down": (lambda x: np.concatenate([x[:1], x[:-1]]), "one slice off"),
    "left-right": (lambda x: x[:, :, ::-1], "flipped left-right"),
    "up-down": (lambda x: x[:, ::-1], "flipped up-down"),
    "both": (lambda x: x[:, ::-1, ::-1], "flipped left-right and up-down"),
    "reversed": (lambda x: x[::-1], "reverse order"),
    "slices mixed": (lambda x: np.random.default_rng(0).permutation(x), "of another place"),
}
SWAPPED, EXCHANGED = "targets of two subjects swapped", "modalities exchanged"


def read(folder: Path) -> dict[str, Images]:
    """The first two modalities of all subjects of a prepared set; of a lone one its training part."""
    found: dict[str, Images] = {}
    for split in ("test", "train"):
        store = SliceStore(folder / split)
        subjects = np.array(store.subjects)
        for name in dict.fromkeys(store.subjects):
            found[name] = {m: np.array(store.array(m)[subjects == name]) for m in store.modalities[:2]}
    return found


def spoilt(data: Mapping[str, Images]) -> Iterator[tuple[str, str, dict[str, Images]]]:
    """(way, what is to be said, the subjects that are changed)."""
    names = list(data)
    for place, (name, images) in enumerate(data.items()):
        first, second = images
        for way, (harm, said) in HARMS.items():
            yield way, said, {name: {first: images[first], second: harm(images[second])}}
        if len(names) < 2:
            continue
        yield EXCHANGED, "exchanged", {name: {first: images[second], second: images[first]}}
        other = names[(place + 1) % len(names)]
        targets = {name: data[other][second], other: images[second]}
        yield SWAPPED, "of another", {who: {first: data[who][first], second: targets[who]} for who in targets}


def suspicions(measured: Mapping[str, Sequence[Measured]]) -> dict[str, str]:
    """What is suspected of whom."""
    found = judge(list(measured.items()))
    return {name: item.suspected for name, items in found.items() for item in items if item.suspected}


def rates(data: Mapping[str, Images]) -> list[list[object]]:
    """A row for each way of spoiling."""
    start = time.process_time()
    sound = {name: measure(images) for name, images in data.items()}
    alarms, spent = suspicions(sound), time.process_time() - start
    rows = [[f"as it is ({1000 * spent / len(data):.0f} ms each)", "", "", f"{len(alarms)} of {len(data)}"]]
    counts: dict[str, np.ndarray] = {}
    for way, said, changed in spoilt(data):
        found = suspicions({**sound, **{name: measure(images) for name, images in changed.items()}})
        hits = [found[name] for name in changed if name in found]
        named, elsewhere = sum(said in text for text in hits), len(found) - len(hits)
        here = np.array([len(hits), named, len(changed), elsewhere, len(data) - len(changed)])
        counts[way] = counts.get(way, np.zeros(5, int)) + here
    rows += [[way, f"{n[0]} of {n[2]}", f"{n[1]} of {n[2]}", f"{n[3]} of {n[4]}"] for way, n in counts.items()]
    return rows


def main() -> None:
    """Read, spoil, judge, print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("data", type=Path, nargs="+", help="folders of prepared data sets")
    for folder in options.parse_args().data:
        print(f"\n{folder}\n")
        print(table(("spoilt", "found", "named", "elsewhere"), rates(read(folder))))


if __name__ == "__main__":
    main()
