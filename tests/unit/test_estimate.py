"""`xmodbench plan`: counts that are exact, rates that were measured, and unknown where nothing was."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from xmodbench.files import write_json
from xmodbench.plan import rates
from xmodbench.plan.config import find_config, load_config, parse_config
from xmodbench.plan.estimate import Estimate, total
from xmodbench.plan.estimate_text import as_values, duration, told
from xmodbench.plan.plan import Plan
from xmodbench.plan.rates import OWN, Rates
from xmodbench.plan.work import Work, work
from xmodbench.plugins import DATASETS, METHODS, available, find

DEMO_S, DEMO_CPU_S = 772, 639
"""Seconds that the jobs of config/demo.yaml took, by Snakemake's benchmarks, two at once on two cores: of the clock, of the
processor."""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("xmodbench.plan.estimate.visible_gpus", list)
    return tmp_path


def plan(methods=None, datasets=None, **changes):
    settings = {"n_subjects": 5, "scale": 2.5, "image_size": 64, "slices": {"count": 4}, "split": {"n_test": 2}}
    datasets = datasets or {"sim_ixi": {"directions": ["pd->t1"], "settings": settings}}
    values = {"run": "r", "datasets": datasets, "methods": methods or {"oracle": {}}, **changes}
    return Plan(parse_config(values, "c.yaml"), "c.yaml")


def shipped(name):
    path = find_config(name)
    return Plan(load_config(path), str(path))


def settings(name, **values):
    return find(METHODS, name).cls.Config(**values)


@pytest.mark.parametrize(
    ("name", "values", "verb", "amount"),
    [
        ("midiffusion", {"preset": "short", "iterations": 1000, "batch_size": 2}, "train", 2000),
        ("midiffusion", {"epochs": 10, "batch_size": 4, "accumulation": 2}, "train", 10 * 13 * 8),
        ("midiffusion", {"epochs": 10, "held_out": 0.2}, "train", 10 * 20 * 4),
        ("midiffusion", {"preset": "own"}, "train", 2250 * 4),
        ("midiffusion", {"preset": "own", "batch_size": 2, "accumulation": 3}, "train", 2250 * 6),
        ("midiffusion", {"preset": "own", "held_out": 0, "iterations": 50}, "train", 50 * 4),
        ("sdedit", {"preset": "own", "epochs": 2, "held_out": 0}, "train", 2 * 25 * 4),
        ("midiffusion", {"sampling_steps": 20, "sampler": "heun"}, "translate", 100 * 39),
        ("midiffusion", {"sampling_steps": 20, "samples": 8}, "translate", 100 * 160),
        ("sdedit", {"preset": "short", "sampling_steps": 20, "start": 0.4, "repeats": 2}, "translate", 100 * 20 * 0.4 * 2),
        ("cyclegan", {}, "train", 200 * 100),
        ("cyclegan", {}, "translate", 100),
        ("egsde", {"epochs": 10}, "pretrain", 10 * 100),
        ("egsde", {"classifier_iterations": 50}, "train", 50 * 32),
        ("egsde", {"sampling_steps": 100}, "translate", 100 * 50),
        ("stylegan2_inversion", {"kimg": 3}, "pretrain", 3000),
        ("stylegan2_inversion", {"encoder_iterations": 10, "encoder_batch": 16}, "train", 160),
        ("stylegan2_inversion", {"inversion_steps": 30}, "translate", 3000),
    ],
)  # fmt: skip
def test_what_is_to_be_done_is_counted(name, values, verb, amount):
    assert work(settings(name, **values), verb, 100, 128).amount == amount


def own_presets():
    for name in available(METHODS):
        presets = getattr(find(METHODS, name).cls.Config, "PRESETS", {})
        if "own" in presets and "held_out" in presets["own"] and not presets["own"]["epochs"]:
            yield name


def test_a_training_that_held_out_slices_end_is_the_most_that_it_can_be():
    """As the training counts it: by slices, size and device; by the cap where slices are unknown."""
    names = list(own_presets())
    assert {"midiffusion", "sdedit", "contourdiff", "contrast_randomised", "fgdm"} <= set(names)
    for name in names:
        own = settings(name, preset="own")
        batch = own.resolved().batch_size
        found = {slices: work(own, "train", slices, 96) for slices in (30, 1000, None)}
        assert {slices: done.amount / batch for slices, done in found.items()} == {30: 2025, 1000: 4000, None: 4000}, (
            name
        )
        assert all(done.at_most for done in found.values())
        assert work(own, "train", None, 192).amount == 1000 * batch
        assert work(own, "train", None, 96, "cuda").amount == 40_000 * batch
        assert work(own, "translate", None, 96) is None


@pytest.mark.parametrize(
    ("values", "slices", "at_most"),
    [
        ({"preset": "short"}, None, False),  # so many steps, whatever there is
        ({"preset": "own"}, 9, False),  # too few to hold any out
        ({"preset": "own", "patience": 0}, 100, False),
        ({"preset": "own", "patience": 0}, None, True),
        ({"preset": "short", "held_out": 0.1, "patience": 3}, 100, True),
    ],
)
def test_only_what_may_end_sooner_is_at_most(values, slices, at_most):
    assert work(settings("midiffusion", **values), "train", slices, 96).at_most == at_most
    assert work(settings("midiffusion", epochs=3), "train", None, 96) is None


def test_every_method_that_trains_says_how_long():
    """Or has no rate: one of the shipped methods would be unknown for ever. What takes no steps is over in seconds."""
    for name in available(METHODS):
        cls = find(METHODS, name).cls
        if (
            cls.supervision != "control"
            and not cls.model_plugin
            and name not in ("histogram_matching", "nearest_slice")
        ):
            assert work(cls.Config(), "train", 100, 128).cost > 0, name
            assert work(cls.Config(), "translate", 100, 128).cost > 0, name


def test_the_table_of_rates():
    known = {*available(METHODS), *available(DATASETS), rates.ANY}
    with open(rates.TABLE, newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert {row["plugin"] for row in rows} <= known
    for row in rows:
        assert (
            float(row["value"]) > 0 and float(row["amount"]) > 0 and row["machine"] and row["unit"] in ("s", "bytes")
        ), row


def test_a_rate_grows_with_pixels_and_width_and_the_nearest_counts(tmp_path):
    found = Rates(tmp_path)
    small = found.find("midiffusion", "train", Work(1, "small", 16, 64))
    assert small.of(Work(1, "small", 16, 128)) == pytest.approx(4 * small.of(Work(1, "small", 16, 64)))
    assert small.of(Work(1, "small", 32, 64)) == pytest.approx(4 * small.of(Work(1, "small", 16, 64)))
    assert found.find("cyclegan", "train", Work(1, "", 64, 256)).work.size == 128
    assert found.find("cyclegan", "train", Work(1, "", 16, 48)).work.size == 64
    assert found.find("midiffusion", "train", Work(1, "adm", 64, 128)) is None
    assert found.find("midiffusion", "train", Work(1, "small", 16, 64), "cuda") is None


def test_the_demo_is_estimated_within_a_factor_of_two():
    estimate = Estimate(shipped("demo"))
    whole = total(estimate.cpu.values())
    assert not whole.unknown and not estimate.gpu
    assert DEMO_S / 2 < whole.known < 2 * DEMO_CPU_S
    assert "(by its settings)" in told(estimate) and "about 13 min of one core" in told(estimate)


def prepared(folder, size, train=33, test=11):
    for split, count in (("train", train), ("test", test)):
        write_json(folder / split / "manifest.json", {"subjects": ["a", "b"], "count": count, "shape": [size, size]})


@pytest.mark.parametrize("name", ["demo-all", "extended", "smoke", "share", "tradeoff", "heads", "folder"])
def test_no_method_of_a_shipped_config_for_a_processor_is_unknown(name):
    if name in ("heads", "folder"):  # how many slices volumes of one's own have is known once they are prepared
        prepared(Path("data/heads"), {"heads": 96, "folder": 64}[name])
    assert not total(Estimate(shipped(name)).cpu.values()).unknown


def test_the_plan_for_heads_of_ones_own_says_how_long_at_most(elsewhere):
    """Before they are prepared by the cap, of which the documentation speaks; no time of all of it while some is unknown."""
    estimate = Estimate(shipped("heads"))
    assert 2 * 30 * 60 < estimate.cpu["train"].known < 2 * 45 * 60
    assert total(estimate.cpu.values()).unknown == ["prepare heads", "translate midiffusion"]
    text = told(estimate)
    assert (
        "unknown, for want of a measured rate or the number of slices: prepare heads, translate midiffusion\n" in text
    )
    assert "of one core at most: " in text and "train 78 min at most" in text and "at best" not in text
    prepared(elsewhere / "data/heads", 96)
    estimate = Estimate(shipped("heads"))
    assert estimate.cpu["prepare"].known == pytest.approx(4 * 9.5)
    text = told(estimate)
    assert "at best, if nothing else runs and trainings take their most" in text and "unknown" not in text
    assert "not measured: taken as for a registered pair of IXI" in text
    values = as_values(estimate)["cpu_seconds"]
    assert values["train"]["at_most"] and not values["translate"]["at_most"]


def test_a_lone_subject_is_divided_by_slices():
    volumes = {"patterns": {"a": "a.nii", "b": "b.nii"}, "slices": {"count": 20}, "split": {"test_fraction": 0.25}}
    raw = Path("raw")
    raw.mkdir()
    for name in ("a.nii", "b.nii"):
        (raw / name).touch()
    found = Estimate(plan(datasets={"folder": {"raw": "raw", "settings": volumes}})).slices["folder"]
    assert (found.subjects, found.train, found.test) == (1, 15, 5)


def test_what_takes_as_long_with_any_settings_has_one_rate(tmp_path):
    found = Rates(tmp_path).find("nearest_slice", "translate", Work(48, "settings 0123", 1, 128))
    assert found is not None and found.of(Work(48, "settings 0123", 1, 128)) == pytest.approx(8 * found.value)


def test_what_was_never_measured_is_unknown(monkeypatch):
    estimate = Estimate(plan({"midiffusion": {"settings": {"network": "adm"}}, "oracle": {}}))
    assert estimate.cpu["train"].unknown == ["train midiffusion"]
    assert "unknown, for want of a measured rate: train midiffusion, translate midiffusion" in told(estimate)
    monkeypatch.setattr("xmodbench.plan.estimate.visible_gpus", lambda: ["0"])
    estimate = Estimate(plan({"sdedit": {"settings": {"preset": "short"}}, "oracle": {}}))
    assert estimate.gpu["train"].known == 0 and estimate.gpu["train"].unknown == ["train sdedit"]
    assert estimate.cpu["translate"].known > 0  # the control's
    assert "GPU time   unknown, for want of a measured rate" in told(estimate)
    text = told(
        Estimate(
            plan(datasets={"folder": {"settings": {"patterns": {"a": "{subject}_a.nii", "b": "{subject}_b.nii"}}}})
        )
    )
    assert "unknown training and unknown test slices" in text


def record(folder, verb, plugin, seconds, device="cpu", **facts):
    given = json.loads(settings(plugin, **facts.pop("settings")).model_dump_json())
    values = {
        "status": "complete",
        "verb": verb,
        "plugin": plugin,
        "device": device,
        "settings": given,
        "duration_s": seconds,
    }
    prepared = {"settings": {"image_size": 64}}
    write_json(folder / "record.json", {**values, "settings_sha256": "x" * 64, "prepared": prepared, **facts})


def test_ones_own_records_come_before_the_table(tmp_path):
    """Those of another run; a job too short to tell, a damaged record and another device's do not count."""
    own = {"settings": {"preset": "short", "iterations": 100}, "n_train": 50}
    record(tmp_path / "results/other/models/sdedit/x/t1", "train", "sdedit", 900.0, training_s=800.0, **own)
    record(tmp_path / "results/other/models/cut/x/t1", "train", "cut", 2.0, training_s=1.0, **own)
    (tmp_path / "results/other/models/sdedit/x/pd").mkdir(parents=True)
    (tmp_path / "results/other/models/sdedit/x/pd/record.json").write_text('{"status": "complete", "verb": "train"')
    short = {"preset": "short", "iterations": 50}
    estimate = Estimate(plan({"sdedit": {"settings": short}, "cut": {"settings": short}}))
    (machine,) = [name for name in estimate.basis if name.startswith(OWN)]
    assert machine == f"{OWN}: results/other/models/sdedit/x/t1"
    start = estimate.rates.seconds("start:torch")
    cut = estimate.rates.find("cut", "train", Work(1, "", 16, 64)).of(Work(50, "", 16, 64))
    assert estimate.cpu["train"].known == pytest.approx(800 / 2 + cut + 2 * start)
    write_json(tmp_path / "results/other/translations/sdedit/x/pd-to-t1/manifest.json", {"shape": [64, 64]})
    translated = {"settings": {"preset": "short"}, "n_test": 100}
    record(
        tmp_path / "results/other/translations/sdedit/x/pd-to-t1",
        "translate",
        "sdedit",
        504.0,
        device="cuda",
        **translated,
    )
    rate = Rates(tmp_path / "results").find("sdedit", "translate", Work(1, "small", 16, 64), "cuda")
    assert rate.value == 500


def test_a_machine_without_a_gpu_says_how_to_plan_for_one_that_has(monkeypatch):
    method = {"sdedit": {"settings": {"preset": "short"}}}
    text = told(Estimate(plan(method)))
    assert "GPU time   none: no GPU here; for a machine with one: --set compute.device=cuda" in text
    assert "none: `compute.device: cpu`; for a machine" in told(Estimate(plan(method, compute={"device": "cpu"})))
    assert told(Estimate(plan())).count("GPU") == 1  # a control needs none
    there = Estimate(plan(method, compute={"device": "cuda"}))
    assert there.gpu["train"].unknown == ["train sdedit"] and not there.cpu["train"].unknown
    trained = {"settings": {"preset": "short"}, "n_train": 12, "training_s": 7.0}
    record(Path("results/there/models/sdedit/sim_ixi/t1"), "train", "sdedit", 11.0, device="cuda", **trained)
    there = Estimate(plan(method, compute={"device": "cuda"}))
    assert there.gpu["train"].known == pytest.approx(7 + there.rates.seconds("start:torch"))


def test_a_training_of_ones_own_that_ended_sooner_counts_what_it_did(tmp_path):
    folder = tmp_path / "results/other/models/sdedit/x/t1"
    facts = {"n_train": 100, "training_s": 500.0, "steps": 500, "most_steps": 6750}
    record(folder, "train", "sdedit", 510.0, settings={"preset": "own"}, **facts)
    (rate,) = Rates(tmp_path / "results").own
    assert rate.work.amount == pytest.approx(500 * 4) and not rate.work.at_most


def test_a_method_of_others_is_timed_by_its_own_records(tmp_path):
    from tests.plugins import GRADIENT, write_method

    write_method(tmp_path, "gradient", GRADIENT)
    mine = plan({"gradient": {}})
    assert Estimate(mine).cpu["train"].unknown == ["train gradient"]
    folder = tmp_path / "results/other/models/gradient/x/t1"
    record(folder, "train", "gradient", 64.0, training_s=60.0, settings={}, n_train=24)
    estimate = Estimate(mine)
    assert estimate.slices["sim_ixi"].train == 12
    assert estimate.cpu["train"].known == pytest.approx(30 + estimate.rates.seconds("start:torch"))


def test_download_and_disk():
    estimate = Estimate(shipped("paper"))
    assert estimate.download.known == 4_840_816_640 + 4_068_966_400
    assert estimate.download.unknown == ["goldatlas", "curious"]
    assert estimate.slices["goldatlas"].basis == "as published" and estimate.slices["ixi"].train == 300
    assert estimate.disk["stores"].known == (993 + 227 + 952 + 216 + 300 + 75) * 2 * 128 * 128 * 4
    assert "fetch ixi" in total(estimate.cpu.values()).unknown  # how fast the network is, nobody knows
    json.dumps(as_values(estimate), allow_nan=False)


def test_durations_are_as_exact_as_an_estimate():
    assert [duration(s) for s in (4, 80, 130, 4000, 9000, 7.2e6)] == [
        "4 s",
        "80 s",
        "2 min",
        "67 min",
        "2.5 h",
        "2,000 h",
    ]


def test_the_command_runs_nothing_and_imports_no_torch(tmp_path):
    code = "import sys; sys.argv = ['xmodbench', 'plan', 'smoke', '--json']\n"
    code += "from xmodbench.cli import main\ntry: main()\nexcept SystemExit as done: assert done.code == 0\n"
    code += "assert not {'torch', 'numpy', 'pandas', 'snakemake'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["jobs"]["translate"] == 24 and found["jobs"] == found["to_do"]
    assert list(tmp_path.iterdir()) == []


def test_predictions_that_are_imported_have_a_time(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "theirs").mkdir()
    entry = {"id": "theirs", "folder": "theirs", "dataset": "sim_ixi", "direction": "pd->t1"}
    estimate = Estimate(plan(predictions=[entry]))
    assert estimate.cpu["import_predictions"].known > 0 and not total(estimate.cpu.values()).unknown
