"""The data section says whether pairs lie on each other, how many slices there are and what was left out."""

import json
import re

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift
from typer.testing import CliRunner

from xmodbench.cli.app import app
from xmodbench.data.pairing.information import mutual_information
from xmodbench.errors import UserError
from xmodbench.plugins import DATASETS, available, find
from xmodbench.progress import Progress
from xmodbench.report.inspection.alignment import residual_shift
from xmodbench.report.inspection.montage import EDGE_COLOUR, TILE, data_uri, jpeg, montage
from xmodbench.report.inspection.page import inspect_dataset
from xmodbench.report.inspection.section import chosen_subjects, data_section
from xmodbench.store import StoreWriter

REGISTERED = {"translation_mm": 1.25, "rotation_deg": 0.5, "nmi_before": 1.1, "nmi_after": 1.2, "coverage": 0.99}
PUBLISHED = {"train": {"subjects": 100, "pairs": 300}, "test": {"subjects": 25, "pairs": 75}, "why": "because <so>"}


def disc(radius, size=40):
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    return (np.hypot(x, y) < radius).astype(np.float32)


def head(seed, size=64):
    """A disc full of blobs, in two contrasts that share their places."""
    blobs = gaussian_filter(np.random.default_rng(seed).normal(size=(size, size)), 3)
    blobs = (blobs - blobs.min()) / np.ptp(blobs)
    inside = disc(0.7, size)
    return inside * (0.3 + 0.6 * blobs), inside * (0.9 - 0.5 * blobs**2)


def write(folder, moved=0.0, subjects=(("train", ("p0", "p/1")), ("test", ("p2",))), **manifest):
    """Stores of PD and T1 with `moved` pixels between them in the test subject."""
    manifest = {
        "dataset": "heads",
        "excluded": [{"subject": name, "reason": "no pd"} for name in ("<b>p9</b>", "p8")],
        "settings": {"reference": "t1", "slices": {"count": 9, "stride_mm": None}},
        "volumes": {
            "p0": {"registration": {"pd": {**REGISTERED, "accepted": True}}, "slices": {"chosen": 11, "kept": 9}}
        },
        **manifest,
    }
    affine = json.dumps(np.diag([3.0, 3.0, 1.0, 1.0]).tolist())
    for split, names in subjects:
        with StoreWriter(folder / split, ["pd", "t1"], (64, 64), manifest) as writer:
            for subject in names:
                for n in range(9):
                    t1, pd = head(n)
                    if split == "test" and moved:
                        pd = np.clip(shift(pd, (0, moved), order=1), 0, 1)
                    writer.add(
                        {"pd": pd.astype(np.float32), "t1": t1.astype(np.float32)},
                        id=f"{subject}_{n}", subject=subject, site="a", position_mm=float(n), affine=affine,
                    )  # fmt: skip
    return folder


def test_the_page_is_one_file_with_every_subject(tmp_path, monkeypatch):
    write(tmp_path / "data/heads", simulated=True)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["inspect", "heads"])
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == "results/inspect/heads/index.html"
    assert [path.name for path in (tmp_path / "results/inspect/heads").iterdir()] == ["index.html"]
    page = (tmp_path / "results/inspect/heads/index.html").read_text()
    assert "Simulated data" in page
    assert ">no pd</td><td>2</td>" in page
    assert "&lt;b&gt;p9&lt;/b&gt;, p8</td>" in page and "<b>p9" not in page
    assert "<td>1.100</td><td>1.200</td><td>1.25</td><td>0.50</td><td>0.990</td>" in page
    assert "✓ In all 3 subjects" in page
    assert page.count('<img src="data:image/jpeg;base64,') == 3
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)


def test_a_lone_subject_is_one_and_what_that_means_is_said(tmp_path):
    remark = {"p0": {"slices": {"chosen": 18, "kept": 18}, "headers": {"t1": "taken as mm"}}}
    write(tmp_path, subjects=(("train", ("p0",)), ("test", ("p0",))), volumes=remark, excluded=[])
    page = data_section(tmp_path, label="Heads").html
    assert "pd, one subject, slices of 64" in page and "says nothing of other subjects" in page
    assert "✓ In both parts of the subject the modalities lie on each other" in page
    assert page.count("taken as mm") == 1


@pytest.mark.parametrize(("down", "right"), [(0, 0), (2, -1), (-3, 3), (0.5, -1.5)])
def test_a_shift_is_found_to_a_fifth_of_a_pixel(down, right):
    pairs = [head(n) for n in range(6)]
    a, b = (np.stack(images) for images in zip(*pairs, strict=True))
    found = residual_shift(a, shift(b, (0, down, right), order=1))
    assert found == pytest.approx((down, right), abs=0.2)


def test_information_is_two_for_the_same_and_one_for_strangers():
    image = np.random.default_rng(0).random((64, 64))
    assert mutual_information(image, image) == pytest.approx(2)
    assert mutual_information(np.zeros((8, 8)), np.zeros((8, 8))) == 1
    strangers = mutual_information(image, np.random.default_rng(1).random((64, 64)), bins=4)
    assert strangers == pytest.approx(1, abs=0.01)


def test_a_pair_that_does_not_fit_is_named_and_shown(tmp_path):
    section = data_section(write(tmp_path, moved=3.0), max_subjects=1)
    (doubtful,) = section.facts.doubtful
    assert (doubtful.name, doubtful.aligned) == ("p2", False)
    assert doubtful.shift_px == pytest.approx(3, abs=0.3)
    assert doubtful.shift_mm == pytest.approx(9, abs=1)
    assert "✗ In 1 of 3 subjects the modalities seem not to lie on each other: p2" in section.html
    # what has to be looked at has its picture before all others
    assert 'id="heads-test-p2"' in section.html and 'id="heads-train-p0"' not in section.html


def test_headers_that_contradict_themselves_and_far_starts_are_told(tmp_path):
    remark = "sform and qform place the volume's corners up to 4.2 mm apart; the sform is used"
    moved = {"pd": {**REGISTERED, "accepted": True, "start": "moments"}}
    page = data_section(write(tmp_path, volumes={"p2": {"headers": {"pd": remark}, "registration": moved}})).html
    assert '<span class="look">p2</span>, pd: sform and qform place the volume' in page
    assert "up to 4.2 mm apart; the sform is used.</p>" in page
    assert "<td>pd from heads laid on each other</td>" in page
    plain = data_section(write(tmp_path / "plain")).html
    assert "sform" not in plain and "laid on" not in plain


def test_slices_stand_beside_the_published(tmp_path):
    section = data_section(write(tmp_path), label="My <heads>", published=PUBLISHED)
    assert "<tr><td>train</td><td>2</td><td>18</td><td>9.0</td>\n<td>100</td><td>300</td><td>3.0</td>" in section.html
    assert "because &lt;so&gt;" in section.html
    assert "My &lt;heads&gt;" in section.html
    assert [(row.split, row.pairs, row.published_pairs) for row in section.facts.counts] == [
        ("train", 18, 300), ("test", 9, 75),
    ]  # fmt: skip
    assert [subject.dropped for subject in section.facts.subjects] == [None, 2, None]


def test_simulated_data_are_never_set_beside_the_published(tmp_path):
    section = data_section(write(tmp_path, simulated=True), published=PUBLISHED)
    assert "300" not in re.sub(r'src="[^"]*"|points="[^"]*"|viewBox="[^"]*"|<line[^>]*>|<text[^>]*>', "", section.html)
    assert "simulated: not comparable" in section.html
    assert all(row.published_pairs is None for row in section.facts.counts)


def test_the_plugin_that_prepared_it_gives_the_published_counts(tmp_path):
    write(tmp_path)
    (tmp_path / "record.json").write_text(json.dumps({"plugin": "ixi"}))
    assert data_section(tmp_path).facts.counts[0].published_pairs == 300
    (tmp_path / "record.json").write_text(json.dumps({"plugin": "gone"}))
    assert data_section(tmp_path).facts.counts[0].published_pairs is None


def test_published_counts_of_the_paper():
    found = {name: find(DATASETS, name).meta.get("slices_published") for name in available(DATASETS)}
    numbers = {
        name: [(item[split]["subjects"], item[split]["pairs"]) for split in ("train", "test")]
        for name, item in found.items()
        if item
    }
    assert numbers == {
        "goldatlas": [(15, 993), (4, 227)],
        "curious": [(17, 952), (5, 216)],
        "ixi": [(100, 300), (25, 75)],
    }


def test_many_subjects_make_no_heavy_section(tmp_path):
    names = [f"p{n:03d}" for n in range(40)]
    write(tmp_path, subjects=(("train", names[:30]), ("test", names[30:])))
    section = data_section(tmp_path)
    shown = chosen_subjects(section.facts, 8)
    assert len(shown) == 8 and {subject.split for subject in shown} == {"train", "test"}
    assert section.html.count("<img") == 8
    assert len(section.html) < 1_000_000


def test_edges_of_the_first_lie_on_the_second():
    picture = montage({"a": disc(1.0, TILE)[None], "b": 0.5 * disc(1.0, TILE)[None]})
    edge = (picture[2 * (TILE + 2) :, :TILE][:TILE] == EDGE_COLOUR).all(-1)
    y, x = np.nonzero(edge)
    radius = np.hypot(y - (TILE - 1) / 2, x - (TILE - 1) / 2)
    assert len(radius) > 100
    assert np.abs(radius - TILE / 2).max() < 2.5


def test_margins_of_air_are_cut_off():
    wide = np.zeros((1, 64, 64), np.float32)
    wide[:, 24:40, 4:60] = 0.7
    height, width, _ = montage({"a": wide, "b": wide}, tile=96).shape
    assert width == 98
    assert 3 * 25 < height < 3 * 45
    assert data_uri(jpeg(np.zeros((4, 4, 3), np.uint8))).startswith("data:image/jpeg;base64,")


def test_what_is_not_prepared_is_said(tmp_path):
    with pytest.raises(UserError, match="no slice store here"):
        data_section(tmp_path / "data/none")


def unlike(folder, harm=None):
    """Stores of six subjects with heads of their own; `harm` changes PD of the test subject."""
    for split, names in (("train", "abcde"), ("test", "f")):
        with StoreWriter(folder / split, ["pd", "t1"], (64, 64), {"dataset": "heads"}) as writer:
            for subject in names:
                pairs = [head(100 * ord(subject) + n) for n in range(4)]
                t1, pd = (np.stack(images).astype(np.float32) for images in zip(*pairs, strict=True))
                pd = harm(pd) if harm and split == "test" else pd
                for n in range(4):
                    row = {"id": f"{subject}_{n}", "subject": subject, "site": "a", "position_mm": float(n)}
                    writer.add({"pd": pd[n], "t1": t1[n]}, **row)
    return folder


def test_pairs_that_belong_together_are_said_to(tmp_path):
    section = data_section(unlike(tmp_path))
    assert section.facts.mispaired == ()
    assert "✓ In all 6 subjects the pairs belong together" in section.html


@pytest.mark.parametrize(
    ("harm", "said"),
    [(lambda pd: pd[:, :, ::-1], "t1 flipped left-right"), (lambda pd: np.roll(pd, 1, 0), "t1 one slice off")],
)
def test_a_pair_of_different_places_is_named_and_shown(tmp_path, capsys, harm, said):
    section = data_section(unlike(tmp_path, harm), max_subjects=1)
    assert [subject.name for subject in section.facts.mispaired] == ["f"]
    assert "✗ In 1 of 6 subjects the pairs seem not to belong together: f</p>" in section.html
    assert f'<span class="look">f</span> (test): {said}' in section.html
    assert 'id="heads-test-f"' in section.html
    inspect_dataset(tmp_path, tmp_path / "page", Progress())
    assert f"f, pairing doubtful: {said}" in capsys.readouterr().err


def test_what_only_the_volume_told_is_kept(tmp_path):
    """Between the slices of a store lie others, which the preparation has seen."""
    gains = {"volume -1": [-0.05, 0.0], "volume +1": [0.06, 1.0], "left-right": [0.9, 1.0]}
    write(tmp_path, volumes={"p2": {"pairing": [{"pair": ["t1", "pd"], "gains": gains}]}})
    (subject,) = data_section(tmp_path).facts.mispaired
    assert subject.suspected == ("pd one slice of the volume off: its next one fits t1 better",)
