"""What the configs in `config/` plan: the paper's matrix with the right jobs, and who takes part where."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pytest
from snakemake.iocontainers import Wildcards as Matched

from xmodbench.files import REPOSITORY
from xmodbench.metrics.weights import OFFICIAL_URL, SHA256
from xmodbench.plan.config import load_config
from xmodbench.plan.job_list import JobList
from xmodbench.plan.jobs import Jobs
from xmodbench.plan.plan import Plan

CONFIGS = sorted(path.stem for path in (REPOSITORY / "config").glob("*.yaml"))
PAPERS_FOUR = ("midiffusion", "sdedit", "cyclegan", "stylegan2_inversion")


def plan_of(name: str) -> Plan:
    return Plan(load_config(REPOSITORY / "config" / f"{name}.yaml"), f"{name}.yaml")


@pytest.fixture(scope="module")
def paper() -> Plan:
    return plan_of("paper")


@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "folder"])
def test_every_config_can_be_planned(name):
    assert plan_of(name).cells


def test_configs_with_real_data_know_where_the_weights_of_fid_are():
    for name in CONFIGS:
        plan = plan_of(name) if name not in ("folder", "heads") else None  # of one's own, few
        if plan and not all(map(plan.simulated, plan.datasets)):
            scoring = plan.config.scoring
            assert (scoring.fid_weights, scoring.fid_sha256) == (OFFICIAL_URL, SHA256), name


def test_the_paper_has_six_tasks_and_trains_each_method_six_times(paper):
    assert len({(cell.dataset, cell.direction) for cell in paper.cells}) == 6
    models = {(cell.method, paper.model_dir(cell)) for cell in paper.cells}
    assert {name: Counter(method for method, _ in models)[name] for name in PAPERS_FOUR} == dict.fromkeys(
        PAPERS_FOUR, 6
    )
    sources = {name: {"-from-" in path.name for method, path in models if method == name} for name in PAPERS_FOUR}
    assert sources == {"midiffusion": {False}, "sdedit": {False}, "cyclegan": {True}, "stylegan2_inversion": {False}}


def test_controls_without_a_model_are_not_trained(paper):
    models = Counter(cell.method for cell in paper.cells if paper.model_dir(cell) is not None)
    assert models == dict.fromkeys((*PAPERS_FOUR, "stylegan2_reconstruction", "mean_image"), 6)
    assert len(paper.cells) - models.total() == 18
    assert {name for _, name in paper.trainings} == {*PAPERS_FOUR, "mean_image"}
    jobs = Jobs(paper, lambda: False)
    for method, record in (("oracle", []), ("mean_image", ["results/paper/models/mean_image/ixi/t1/record.json"])):
        wildcards = Wildcards({"method": method, "dataset": "ixi", "source": "pd", "target": "t1"})
        assert jobs.model_record(wildcards) == record
        assert jobs.model_option(wildcards) == [
            part for path in record for part in ("--model", path[: -len("/record.json")])
        ]
        assert ("trained" in jobs.translation_expects(wildcards)) == bool(record)


def test_the_paper_trains_six_gans_and_six_encoders_and_scatters_inversions(paper):
    cells = [cell for cell in paper.cells if cell.method == "stylegan2_inversion"]
    gans = {paper.pretrained_dir(paper.training(cell), cell.dataset, paper.model_name(cell)) for cell in cells}
    assert len(gans) == 6 and None not in gans
    assert len({paper.model_dir(cell) for cell in cells}) == 6
    assert sum(len(paper.part_dirs(cell)) for cell in cells) == 6 * 4
    # the control that inverts the target uses the same models
    control = [cell for cell in paper.cells if cell.method == "stylegan2_reconstruction"]
    assert {paper.model_dir(cell) for cell in control} == {paper.model_dir(cell) for cell in cells}


def test_the_paper_is_under_two_hundred_jobs(paper):
    assert sum(JobList(paper).count().values()) < 200


def test_a_model_that_others_borrow_is_one_job_with_its_own_methods_translations_alone():
    """Else a borrower's failure would take the model away from all of them."""
    asks = Jobs(plan_of("smoke"), lambda: False, site={"one_job_per_model": "1"}.get).asks
    cell = {"dataset": "sim_ixi", "source": "pd", "target": "t1"}
    names = ("sdedit-start-0_3", "sdedit-start-0_6", "energy_guidance", "egsde_zero_shot", "stylegan2_reconstruction")
    groups = {name: asks.group(Matched(fromdict={"method": name, **cell})) for name in names}
    assert [groups[name] for name in names] == ["sdedit.sim_ixi.t1"] * 2 + [None] * 3


def test_the_papers_shares_and_steps(paper):
    shares = {name: paper.methods["cyclegan"].settings[name].share for name in paper.datasets}
    assert shares == {"goldatlas": 0.02, "curious": 0.06, "ixi": 0.11}
    settings = paper.methods["stylegan2_inversion"].settings["ixi"]
    assert settings.preset == "auto" and settings.inversion_steps is None  # the preset's: 5000
    assert settings.resolved(128).inversion_steps == 5000


def test_ixi_is_trained_ten_times_as_many_epochs(paper):
    """As in the released configurations, of MIDiffusion: its authors' SDEdit had 1000 for IXI too."""
    epochs = {name: paper.methods["midiffusion"].settings[name].resolved().epochs for name in paper.datasets}
    assert epochs == {"goldatlas": 1000, "curious": 1000, "ixi": 10_000}
    assert {settings.resolved().epochs for settings in paper.methods["sdedit"].settings.values()} == {1000}


def test_the_forms_differ_in_nothing_but_their_preset_and_the_map_of_sampling():
    methods = {name: method.settings["sim_ixi"] for name, method in plan_of("forms").methods.items()}
    forms = {name: methods[name] for name in ("released", "released_consistent", "paper_ve")}
    for name, settings in forms.items():
        assert settings.preset == name
    common = {**dict(forms["released"]), "preset": None, "normalise_sample": None}
    for settings in forms.values():
        assert {**dict(settings), "preset": None, "normalise_sample": None} == common
    # the released sampler takes normalised maps for IXI, which this data set stands in for; the paper's never are
    assert [settings.resolved().normalise_sample for settings in forms.values()] == [True, True, False]
    assert [settings.resolved().final_noise for settings in forms.values()] == [True, False, True]


def test_the_demo_has_the_papers_four_and_extended_the_others_too():
    assert set(PAPERS_FOUR) <= set(plan_of("demo").methods)
    assert plan_of("demo-all").methods.keys() == plan_of("demo").methods.keys()
    assert [len(plan_of(name).directions) for name in ("demo", "demo-all")] == [1, 3]
    assert {*PAPERS_FOUR, "cut", "pix2pix", "stylegan2_reconstruction"} <= set(plan_of("extended").methods)


def test_jobs_ask_for_what_they_need(paper):
    paper.config.compute.processes = 4
    jobs = Jobs(paper, lambda: False)

    def asked(**wildcards):
        found = Wildcards(wildcards)
        return jobs.asks.gpu(found), jobs.asks.runtime(found)

    common = {"dataset": "ixi", "model": "t1"}
    assert asked(pretraining="stylegan2_inversion", **common) == (4, 10080)  # several processes help a batch of 32
    assert asked(training="stylegan2_inversion", **common) == (1, 1440)
    assert asked(training="midiffusion", **common)[0] == 4
    assert asked(method="stylegan2_inversion", dataset="ixi", source="pd", target="t1") == (1, 240)
    assert asked(training="cyclegan", dataset="ixi", model="t1-from-pd") == (1, 2880)
    assert asked(method="cyclegan", dataset="ixi", source="pd", target="t1") == (1, 120)
    options = jobs.pretrained_option(Wildcards({"training": "stylegan2_inversion", **common}))
    assert options == ["--pretrained", "results/paper/pretrained/stylegan2_inversion/ixi/t1"]
    assert jobs.pretrained_option(Wildcards({"training": "midiffusion", **common})) == []


class Wildcards(SimpleNamespace):
    """Like Snakemake's."""

    def __init__(self, values):
        super().__init__(**values)

    def keys(self):
        return vars(self).keys()


def test_configs_that_share_a_folder_of_data_prepare_the_same():
    """Otherwise running one would make the other do everything again."""
    found: dict[str, set[str]] = {}
    for name in CONFIGS:
        if name != "folder":
            plan = plan_of(name)
            for dataset in plan.datasets:
                found.setdefault(str(plan.data_dir(dataset)), set()).add(plan.dataset_settings(dataset))
    assert {folder for folder, settings in found.items() if len(settings) > 1} == set()
