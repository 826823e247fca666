"""Several seeds: replicates with paths of their own beside those of a run with one, which stay as they are."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from xmodbench.errors import UserError
from xmodbench.plan.config import parse_config
from xmodbench.plan.jobs import Jobs
from xmodbench.plan.methods import read_replicate, replicate_name
from xmodbench.plan.plan import Cell, Plan

METHODS = ("midiffusion", "sdedit", "ilvr", "stylegan2_inversion", "mean_image", "shuffled_target", "oracle")


class Wildcards(SimpleNamespace):
    """As Snakemake hands them to functions."""

    def keys(self):
        return vars(self).keys()


def plan(**changes) -> Plan:
    values = {
        "run": "r",
        "seed": 1,
        "datasets": {"sim_ixi": {"directions": ["pd->t1"]}},
        "methods": dict.fromkeys(METHODS),
    }
    return Plan(parse_config(values | changes, "c.yaml"), "c.yaml")


def places(made: Plan) -> set:
    folders = {made.translation_dir(cell) for cell in made.runs} | {made.scores_file(cell) for cell in made.runs}
    return folders | {made.model_dir(cell) for cell in made.runs}


@pytest.mark.parametrize("seeds", [None, [1]])
def test_one_seed_has_the_paths_without_a_seed(seeds):
    made = plan(seeds=seeds)
    assert made.runs == made.cells
    assert {cell.seed for cell in made.cells} == {None}
    assert not any("seed" in str(path) for path in places(made))
    assert {name for _, name in made.trainings} == {"midiffusion", "sdedit", "stylegan2_inversion", "mean_image"}


def test_more_seeds_add_to_what_there_is():
    one, more = plan(), plan(seeds=[1, 2, 3])
    assert places(one) < places(more)
    assert more.cells == one.cells, "of replicates the first"
    seeds = {name: [cell.seed for cell in more.runs if cell.method == name] for name in METHODS}
    assert seeds["midiffusion"] == seeds["ilvr"] == seeds["shuffled_target"] == [None, 2, 3]
    assert seeds["oracle"] == seeds["mean_image"] == [None], "without chance there is nothing to replicate"
    assert len(more.trainings) == 3 * 3 + 1
    assert set(more.pretrainings) == {("sim_ixi", replicate_name("stylegan2_inversion", seed)) for seed in (None, 2, 3)}


def test_each_replicate_is_made_with_its_own_seed_and_model_on_the_same_data():
    made = plan(seeds=[1, 2])
    for cell in made.runs:
        wanted = 1 if cell.seed is None else cell.seed
        assert made.translated(cell)["seed"] == wanted
        if training := made.training(cell):
            assert made.trained(training)["seed"] == wanted
            assert made.model_dir(cell).parts[-3] == training.name
        if training and training.pretraining:
            assert made.trained(training.pretraining)["seed"] == wanted
            assert made.pretrained_dir(training, "sim_ixi", "t1").parts[-3] == training.pretraining.name
    assert made.prepared("sim_ixi")["seed"] == 1
    borrowed = made.training(Cell("ilvr", "sim_ixi", "pd", "t1", 2))
    assert borrowed.name == "sdedit.seed-2", "who borrows takes the model of the same seed"


def test_seeds_without_the_runs_own_leave_its_paths_free():
    made = plan(seed=1, seeds=[7, 8])
    assert {cell.seed for cell in made.runs if cell.method == "sdedit"} == {7, 8}
    assert [cell.seed for cell in made.cells if cell.method == "oracle"] == [None]
    assert made.run_label(made.cells[0]).endswith(", seed 7")


def test_a_method_may_have_seeds_of_its_own():
    own = dict.fromkeys(METHODS) | {"sdedit": {"seeds": [1]}, "ilvr": {"seeds": [1, 5]}, "oracle": {"seeds": [1, 2]}}
    made = plan(methods=own, seeds=[1, 2, 3])
    seeds = {name: [cell.seed for cell in made.runs if cell.method == name] for name in METHODS}
    assert seeds["midiffusion"] == [None, 2, 3] and seeds["sdedit"] == [None] and seeds["oracle"] == [None]
    assert seeds["ilvr"] == [None, 5]
    named = {name for _, name in made.trainings if name.startswith("sdedit")}
    assert named == {"sdedit", "sdedit.seed-5"}, "the model that it takes is trained with its seeds"
    assert made.all_seeds == [1, 2, 3, 5]
    jobs = Jobs(made, lambda: True)
    assert not re.fullmatch(jobs.methods(), "sdedit.seed-2") and re.fullmatch(jobs.methods(), "ilvr.seed-5")
    assert plan().all_seeds == [1] and plan(seeds=[7, 8]).all_seeds == [7, 8]


@pytest.mark.fault("config", "a seed given twice, none, or one that is no seed", "one line names the key")
@pytest.mark.parametrize("seeds", [[1, 1], [], [-1], [2**31], ["a"], 3])
def test_seeds_that_cannot_be(seeds):
    with pytest.raises(UserError, match="seeds"):
        plan(seeds=seeds)
    with pytest.raises(UserError, match=r"methods\.sdedit\.seeds"):
        plan(methods={"sdedit": {"seeds": seeds}})


def test_jobs_of_a_replicate_ask_for_its_seed_and_plugin():
    jobs = Jobs(plan(seeds=[1, 2]), lambda: True)
    for name in ("midiffusion", "midiffusion.seed-2", "oracle"):
        assert re.fullmatch(jobs.methods(), name)
    for wrong in ("midiffusion.seed-3", "midiffusionxseed-2", "oracle.seed-2"):
        assert not re.fullmatch(jobs.methods(), wrong)
    wildcards = Wildcards(method="ilvr.seed-2", dataset="sim_ixi", source="pd", target="t1")
    options = jobs.method_options(wildcards)
    assert options[options.index("--seed") + 1] == "2" and options[options.index("--plugin") + 1] == "ilvr"
    assert jobs.model_option(wildcards)[1].endswith("models/sdedit.seed-2/sim_ixi/t1")
    assert jobs.asks.runtime(wildcards) == jobs.asks.runtime(Wildcards(**vars(wildcards) | {"method": "ilvr"}))
    trained = Wildcards(training="sdedit.seed-2", dataset="sim_ixi", model="t1")
    options = jobs.training_options(trained)
    assert options[options.index("--seed") + 1] == "2" and options[options.index("--plugin") + 1] == "sdedit"
    assert jobs.dataset_options(Wildcards(dataset="sim_ixi"))[-1] == jobs.scoring_options(wildcards)[-1] == "1"
    assert len(jobs.score_files()) == len(set(jobs.score_files())) == 5 * 2 + 2


@pytest.mark.parametrize("name", ["midiffusion", "sdedit-start-0_3"])
@pytest.mark.parametrize("seed", [None, 0, 12])
def test_names_of_replicates_are_read_back(name, seed):
    assert read_replicate(replicate_name(name, seed)) == (name, seed)
