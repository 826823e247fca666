"""Scripts that answer questions from finished runs: what they read, their arithmetic, and what they write."""

from __future__ import annotations

import importlib
import json
import sys
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.stats import kendalltau

from tests.report import synthetic
from xmodbench.data.simulate.head import box_grid
from xmodbench.errors import UserError
from xmodbench.files import REPOSITORY, read_json, write_json
from xmodbench.plan.config import load_config
from xmodbench.plan.plan import Plan
from xmodbench.plugins import DATASETS, find
from xmodbench.report import build_report
from xmodbench.report.model import Report
from xmodbench.store import SliceStore, StoreWriter

FOLDER = REPOSITORY / "benchmarks/findings"
OF_RUNS = {"information": "ablation", "start": "tradeoff", "share": "share", "steps": "steps", "forms": "forms"}
"""Scripts that need but the table of a run, with their configs."""


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")
    monkeypatch.syspath_prepend(FOLDER)


def script(name):
    return importlib.import_module(name)


@pytest.fixture(scope="module")
def built(seeded, tmp_path_factory):
    """Folder of a toy run's report, with the config as a run keeps it."""
    out = tmp_path_factory.mktemp("findings")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(seeded)
        plan = synthetic.seeded_plan(seeded)
        build_report(plan, out, False)
        write_json(out / "config.json", {"made_by": "toy.yaml", "config": plan.config.model_dump(mode="json")})
    return out


@pytest.fixture
def run(built, seeded, monkeypatch):
    monkeypatch.chdir(seeded)
    return script("finished").Finished(built)


def answer_of(name, results, page, monkeypatch, times=1):
    """Run a script, again over what it wrote itself; the page afterwards."""
    page.write_text(f"# Ours\n\n<!-- begin: {name} -->\nof before\n<!-- end: {name} -->\n\nBy hand.\n")
    monkeypatch.setattr(sys, "argv", [name, str(results), "--page", str(page)])
    for _ in range(times):
        script(name).main()
    text = page.read_text()
    assert text.startswith(f"# Ours\n\n<!-- begin: {name} -->") and text.endswith(f"<!-- end: {name} -->\n\nBy hand.\n")
    assert "of before" not in text and f"({page.stem}/{name}.png)" in text
    with Image.open(page.with_suffix("") / f"{name}.png") as image:
        assert image.width > 700
    return text, pd.read_csv(page.with_suffix("") / f"{name}.csv")


def test_numbers_are_the_reports(run, seeded):
    report = Report.read(synthetic.seeded_plan(seeded), partial=False)
    pair, group = ("pd", "t1"), report.groups[0]
    assert run.pairs == [pair]
    for cell in run.cells(pair):
        there = report.measured[group.key][next(c for c in report.plan.cells if c == cell)].numbers
        found = run.measured(cell).numbers
        assert found.keys() == there.keys()
        for name, number in found.items():
            assert (number.value, number.seeds) == (pytest.approx(there[name].value), pytest.approx(there[name].seeds))
            np.testing.assert_allclose(number.effects, there[name].effects, atol=1e-12)
    row = next(
        row for row in report.comparisons if (row["a"], row["b"], row["metric"]) == ("good", "noisy", "paper.mse")
    )
    forth, back = (run.less(pair, *names, "paper.mse") for names in (("good", "noisy"), ("noisy", "good")))
    assert (forth.value, forth.low, forth.high) == (row["difference"], row["low"], row["high"])
    assert (back.value, back.low, back.high) == (-row["difference"], -row["high"], -row["low"])
    assert forth.sign == -back.sign == -1
    assert run.less(pair, "good", "oracle", "paper.mse") is None


def test_what_is_no_finished_run_says_so(tmp_path, built):
    finished = script("finished")
    with pytest.raises(UserError, match=r"table\.json is missing"):
        _ = finished.Finished(tmp_path).table
    write_json(tmp_path / "table.json", read_json(built / "table.json") | {"complete": False})
    with pytest.raises(UserError, match="not finished"):
        _ = finished.Finished(tmp_path).table


def test_a_run_is_found_from_elsewhere(tmp_path):
    config = load_config(REPOSITORY / "config/forms.yaml").model_dump(mode="json")
    results = tmp_path / "results/forms"
    results.mkdir(parents=True)
    write_json(results / "config.json", {"made_by": "forms.yaml", "config": config})
    plan = script("finished").Finished(results).plan
    assert (plan.results, plan.data_dir("sim_ixi")) == (results, tmp_path / "data/cohort64/sim_ixi")


# -- scripts that show a table's numbers ------------------------------------------------------------
def made_up(config: str, out):
    """A finished run of a config, in numbers drawn at random; each is less than the one before it by 1."""
    plan, metrics = (
        Plan(load_config(REPOSITORY / f"config/{config}.yaml"), config),
        script("methods_side_by_side").METRICS,
    )
    rows, comparisons = [], []
    for dataset, pairs in plan.directions.items():
        for source, target in pairs:
            where = {"dataset": dataset, "source": source, "target": target}
            for metric in metrics:
                for place, name in enumerate(plan.methods):
                    rows.append(where | {
                        "method": name, "label": plan.method_label(name), "metric": metric, "mean": 90.0 - place,
                        "ci_low": 89.5 - place, "ci_high": 91.0 - place, "n_seeds": 3, "sd_seeds": 0.1, "n_subjects": 8,
                    })  # fmt: skip
                for (a, one), (b, other) in combinations(enumerate(plan.methods), 2):
                    named = {"a": one, "b": other, "metric": metric, "difference": float(b - a)}
                    comparisons.append(where | named | {"low": b - a - 1.5, "high": b - a + 1.0})
    write_json(out / "table.json", {"complete": True, "rows": rows, "comparisons": comparisons})
    write_json(out / "config.json", {"made_by": config, "config": plan.config.model_dump(mode="json")})
    return plan


@pytest.mark.parametrize("name", OF_RUNS)
def test_a_run_of_its_config_is_answered(name, tmp_path, monkeypatch):
    plan = made_up(OF_RUNS[name], tmp_path)
    text, rows = answer_of(name, tmp_path, tmp_path / "found.md", monkeypatch)
    places = {method: place for place, method in enumerate(plan.methods)}
    against = places[script(name).AGAINST]
    for row in rows[rows["metric"] == "standard.psnr"].itertuples():
        assert row.value == 90 - places[row.method]
        assert row.less == against - places[row.method] or row.method == plan.methods[script(name).AGAINST].id
    # the next but one is told apart, the next is not
    third = next(method for method, place in places.items() if place == against + 2)
    line = next(line for line in text.splitlines() if line.startswith(f"| {plan.method_label(third)} |"))
    assert f"| {90 - places[third]:.1f} [" in line
    assert "**-2.0 [-3.0, -0.5]**" in line


def test_conditions_are_told_from_ways_of_sampling(tmp_path, monkeypatch):
    made_up("steps", tmp_path)
    run, information = script("finished").Finished(tmp_path), script("information")
    monkeypatch.setattr(information, "AGAINST", "ddim-sampling_steps-25")
    families = [name.partition("-")[0] for name in information.conditioned(run)]
    assert families == ["ddim", *3 * ["released"], *3 * ["repaired"]]  # one training for all but these two forms


def test_sources_are_compared_with_the_first(tmp_path, monkeypatch):
    sources, number = script("sources"), script("sources").Number
    made_up("contrasts", tmp_path)
    effects = np.array([0.1, -0.1, 0.2, -0.2])

    class Some:
        """Numbers that grow by 1 from source to source, for all metrics, subjects and seeds alike."""

        def __init__(self, place):
            self.numbers = {name: number(place + 5.0, effects, (place + 4.0, place + 6.0)) for name in sources.PANELS}

    places = {"pd": 0, "t2": 1, "flair": 2, "ct": 3}
    monkeypatch.setattr(script("finished").Finished, "measured", lambda run, cell: Some(places[cell.source]))
    text, rows = answer_of("sources", tmp_path, tmp_path / "found.md", monkeypatch)
    lost = rows[rows["direction"].str.contains("less") & (rows["metric"] == "standard.psnr")]
    assert sorted(set(zip(lost["direction"], lost["value"], strict=True))) == [
        ("ct less pd", 3), ("flair less pd", 2), ("t2 less pd", 1),
    ]  # fmt: skip
    one_model = lost[lost["method"] == "midiffusion"]
    np.testing.assert_allclose(one_model["high"] - one_model["low"], 0, atol=1e-9)  # whatever differs, both share
    apart = lost[lost["method"] == "unet_regression"]
    assert (apart["high"] - apart["low"]).min() > 1
    assert "| MIDiffusion | 1 |" in text and "| CycleGAN | 4 |" in text


def test_steps_are_counted_with_samples_and_second_stages(tmp_path):
    steps = script("steps")
    made_up("steps", tmp_path)
    run = script("finished").Finished(tmp_path)
    wanted = {"ddim-sampling_steps-10": 10, "averaged-samples-4": 40, "heun-sampling_steps-5": 9}
    assert {name: steps.cost(run, name) for name in wanted} == wanted


def test_maps_are_correlated_within_heads_and_between_contrasts(tmp_path, monkeypatch):
    maps, page, rng = script("maps"), tmp_path / "found.md", np.random.default_rng(0)
    with StoreWriter(tmp_path / "data/test", ["pd", "t1"], (16, 16), {"dataset": "toy"}) as writer:
        for subject in "abc":
            for place in range(2):
                head = (rng.random((16, 16)) * 0.5 + 0.2).astype(np.float32)
                writer.add({"pd": head, "t1": 1 - head}, id=f"{subject}-{place}", subject=subject, site="x",
                           position_mm=float(place), affine="[]")  # fmt: skip
    made = {"self": lambda x: x, "std": lambda x: x**3, "sobel": lambda x: np.abs(x - 0.5)}
    monkeypatch.setattr(maps, "maps_of", lambda images: {name: make(images) for name, make in made.items()})
    page.write_text("<!-- begin: maps -->\n<!-- end: maps -->\n")
    monkeypatch.setattr(sys, "argv", ["maps", str(tmp_path / "data"), "--page", str(page)])
    maps.main()
    found = pd.read_csv(tmp_path / "found/maps.csv")
    assert set(found["region"]) == {"head", "depth"}
    found = found[found["region"] == "head"].set_index(["where", "map", "other"])
    for contrast in ("pd", "t1"):
        assert found.loc[(f"within {contrast}", "self", "std")]["value"] == pytest.approx(1)
    assert found.loc[("between", "std", "std")]["value"] == pytest.approx(-1)
    assert found.loc[("between", "sobel", "sobel")]["value"] == pytest.approx(1, abs=1e-3)  # as far from grey in both
    assert found.loc[("between, self less other", "self", "sobel")]["value"] == pytest.approx(-2, abs=1e-3)
    assert (
        found["subjects"] == 3
    ).all() and "| LMI with itself | one contrast and the other | -1.000" in page.read_text()


# -- what metrics reward ------------------------------------------------------------
def test_tau_is_kendalls_with_ties():
    values = np.random.default_rng(3).integers(0, 5, (2, 9, 3)).astype(float)
    found = script("rewards").tau_b(values)
    for sample in range(2):
        for a, b in combinations(range(3), 2):
            assert found[sample, a, b] == pytest.approx(
                kendalltau(values[sample, :, a], values[sample, :, b]).statistic
            )
    np.testing.assert_allclose(np.diagonal(found, axis1=1, axis2=2), 1)


def test_errors_by_tissue_are_means_over_tissues():
    tissues = script("tissue_errors")
    target, shares = np.full((2, 8, 8), 0.5), np.zeros((2, 2, 8, 8))
    shares[0, 0, :4], shares[1, 0, 4:], shares[1, 0, 4, 0] = 1, 0.5, 1  # rows above, and below by half
    off = np.zeros_like(target)
    off[:, :4], off[:, 4:, ::2], off[:, 4:, 1::2] = 0.1, 0.3, -0.3
    found = tissues.tissue_errors(target + off, target, shares)
    assert found["tissue.error"][0] == pytest.approx(100 * (0.1 + 0.3) / 2)
    assert found["tissue.bias"][0] == pytest.approx(100 * (0.1 + 0.5 * 0.3 / 16.5) / 2)
    assert np.isnan(found["tissue.error"][1])  # a slice without any


def test_tissues_lie_where_the_simulation_has_them(tmp_path, monkeypatch):
    tissues, grid = script("tissue_errors"), box_grid(8.0)
    affine = [[-6.0, 0, 0, 90], [0, -6.0, 0.1, 80], [0, 0.1, 1, 20.0], [0, 0, 0, 1]]
    manifest = {"dataset": "sim_ixi", "seed": 7, "settings": {"scale": 8.0}}
    with StoreWriter(tmp_path / "test", ["t1"], (16, 16), manifest) as writer:
        for subject in ("a", "b"):
            writer.add({"t1": np.zeros((16, 16), np.float32)}, id=subject, subject=subject, site="x", position_mm=20.0,
                       affine=json.dumps(affine))  # fmt: skip
    z, y, x = np.mgrid[tuple(slice(0, n) for n in grid.GetSize()[::-1])] * 8.0
    x, y, z = (values + start for values, start in zip((x, y, z), grid.GetOrigin(), strict=True))
    names = [name for group in tissues.TISSUES.values() for name in group]
    asked = []

    def draw(subject, seed, scale):
        """Shares that say where they are, and whose."""
        asked.append((subject, seed, scale))
        shares = {name: np.zeros_like(x) for name in names} | {
            "csf": x,
            "gm": y,
            "wm": z,
            "marrow": 0 * x + ord(subject),
        }
        return SimpleNamespace(fractions=shares, grid=grid)

    module = importlib.import_module(find(DATASETS, "sim_ixi").cls.__module__.rpartition(".")[0] + ".simulate")
    monkeypatch.setattr(module, "draw_subject", draw)
    found = tissues.tissue_shares(SliceStore(tmp_path / "test"))
    assert asked == [("a", 7, 8.0), ("b", 7, 8.0)]
    row, column = 5, 3
    right, front, up = 90 - 6 * column, 80 - 6 * row, 20 + 0.1 * row  # RAS
    for number, wanted in enumerate((-right, -front, up)):  # the simulation's heads are LPS
        np.testing.assert_allclose(found[number, :, row, column], wanted, atol=1e-3)
    np.testing.assert_allclose(found[3, :, row, column], [ord("a"), ord("b")], atol=1e-3)


def test_metrics_are_judged_by_the_errors_of_tissues(run, built, tmp_path, monkeypatch):
    rewards = script("rewards")
    # a head of one tissue: everywhere
    monkeypatch.setattr(rewards, "tissue_shares", lambda store: np.ones((1, store.manifest["count"], 32, 32)))
    text, rows = answer_of("rewards", built, tmp_path / "found.md", monkeypatch)
    taus = rows[rows["what"] == "tau"].set_index(["metric", "other"])
    assert taus.loc[("paper.mse", "paper.psnr")]["value"] == 1
    assert (taus["low"] <= taus["value"] + 1e-9).all() and (taus["value"] <= taus["high"] + 1e-9).all()
    wrong = rows[rows["what"] == "pairs of controls: wrong"].set_index("metric")["value"]
    assert wrong["paper.ssim_src"] > 0  # it puts the copy of the source above what translates
    line = next(line for line in text.splitlines() if line.startswith("| SSIM-Src (paper)"))
    assert "Copy Source" in line
    judged = list(
        rewards.verdicts(rewards.direction(run, ("pd", "t1")), [run.metrics["paper.mse"], rewards.ERROR, rewards.BIAS])
    )
    assert judged and {each.says for each in judged} <= {0, 1}
    assert {each.control for each in judged} <= {None, "copy_source", "mean_image", "shuffled_target"}


def test_the_summary_says_where_orders_agree_and_controls_stand(tmp_path, monkeypatch):
    summary, page = script("summary"), tmp_path / "found.md"
    page.write_text("".join(f"<!-- begin: {name} -->\n<!-- end: {name} -->\n" for name in ("start_part", "orders")))
    monkeypatch.setattr(sys, "argv", ["summary", "--page", str(page)])
    summary.main()
    rows = pd.read_csv(summary.SUMMARY)
    part = rows[(rows["direction"] == "pd->t1") & (rows["supervision"] != "control")].sort_values("method")
    psnr, edges, hog = (part[part["metric"] == name]["mean"] for name in ("standard.psnr", "field.edges", summary.REAL))
    found = pd.read_csv(tmp_path / "found/orders.csv").set_index(["direction", "metric", "other"])
    assert found.loc[("pd->t1", "standard.psnr", "field.edges")]["tau"] == pytest.approx(
        kendalltau(psnr, edges).statistic, abs=1e-4
    )
    assert found.loc[("pd->t1", "field.edges", summary.REAL)]["tau"] == pytest.approx(
        -kendalltau(edges, hog).statistic, abs=1e-4
    )
    mean = rows[(rows["direction"] == "pd->t1") & (rows["method"] == "mean_image")].set_index("metric")["mean"]
    place = summary.place(rows[rows["direction"] == "pd->t1"], "mean_image", "standard.psnr")
    assert place == 1 + (psnr > mean["standard.psnr"]).sum()
    assert "| Fréchet-HOG ↓ |" in page.read_text() and "| PD → T1 | MIDiffusion |" in page.read_text()


# -- the published table ------------------------------------------------------------
def test_the_spread_of_scores_is_taken_apart():
    published, rng = script("published_table"), np.random.default_rng(0)
    subjects, images = 400, 4
    drawn = 0.5 * rng.standard_normal((subjects, 1)) + 0.2 * rng.standard_normal((subjects, images))
    drawn += [0.0, 3.0, -1.0, 5.0]  # places in the head, alike for all
    index = pd.MultiIndex.from_product([[f"s{k:03d}" for k in range(subjects)], [f"z{k}" for k in range(images)]])
    found = published.components(pd.Series(drawn.ravel(), index))
    assert found == pytest.approx((0.25, 0.04), rel=0.15)
    seeds = [published.seeds(0.3 * rng.standard_normal(3)) for _ in range(4000)]
    assert np.median(seeds) == pytest.approx(0.09, rel=0.1)


@pytest.mark.parametrize(("sd", "told"), [(1e-6, 21), (1e3, 0)])
def test_bests_are_told_apart_by_the_spread(sd, told):
    published = script("published_table")
    spread = pd.DataFrame({name: [sd**2] * 4 for name in ("subjects", "images", "trainings")}, list(published.HIGHER))
    rows = pd.DataFrame(published.judged(spread, 1.0))
    assert len(rows) == 24 and rows["told_apart"].sum() == rows["told_apart_trainings"].sum() == told
    # beside two ties, one difference that is within rounding
    assert not sd < 1 or rows[~rows["told_apart"]]["printed_best"].tolist() == ["1.08", "0.12", "1.17"]
    ties = rows[rows["difference"] == 0]
    assert set(zip(ties["dataset"], ties["direction"], ties["column"], strict=True)) == {
        ("CuRIOUS", "T1->FLAIR", "mi"), ("IXI", "PD->T1", "mi"),
    }  # fmt: skip
    mse = rows[(rows["dataset"] == "IXI") & (rows["direction"] == "PD->T1") & (rows["column"] == "mse")].iloc[0]
    assert (mse["best"], mse["printed_next"]) == ("CycleGAN", "1619.14")  # the lowest, though another is bold
    assert mse["difference"] == pytest.approx(np.log(1619.14 / 1154.19))
    chances = rows["best_again"].to_numpy()
    assert np.abs(chances[rows["difference"] == 0] - 0.5).max() < 0.02 if told else np.abs(chances - 0.25).max() < 0.02


def test_the_published_table_is_shown(built, tmp_path, monkeypatch):
    published = script("published_table")
    spread = pd.DataFrame({name: [1e-3] * 4 for name in ("subjects", "images", "trainings")}, list(published.HIGHER))
    monkeypatch.setattr(published, "spread_of", lambda run: spread)
    text, rows = answer_of("published_table", built, tmp_path / "found.md", monkeypatch, times=2)
    assert len(rows) == 24 * len(published.FACTORS)
    # beyond what is said to be enough, a lead is chance
    chance = rows["sd_of_subjects"] > rows["chance_from_sd"]
    assert (chance == ~rows["told_apart"]).all() and 0 < chance.sum() < len(rows)
    again = published.Answer("published_table", tmp_path / "found.md")
    monkeypatch.setattr(sys, "argv", ["published_table", "--page", str(again.page)])  # by the spread that was kept
    published.main()
    pd.testing.assert_frame_equal(pd.read_csv(again.folder / "published_table.csv"), rows)
    assert "| IXI | PD → T1 |" in text and "as in our run" in text
