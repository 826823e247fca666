"""docs/gpu.md is that of its figures, and the hours projected are those of the plan and the figures."""

from __future__ import annotations

import json

import pytest

from xmodbench.errors import UserError


def figures(**tables) -> dict:
    """gpu.json with tables by part: a header and rows."""
    parts = [
        {
            **{"name": name, "title": name, "status": "ok", "seconds": 1.0, "last_line": "", "heading": ""},
            "tables": [{"title": "", "header": header, "rows": rows}],
        }
        for name, (header, rows) in tables.items()
    ]
    facts = {"tiny": False, "device": "cuda", "commit": "c", "date": "d", "seconds": 9.0, "budget_s": 540.0}
    return {**facts, "machine": {"gpu": "G"}, "parts": parts}


GAN = (["method", "px", "images/s"], [["cyclegan", "128", "10"], ["cut", "128", "99"], ["cyclegan", "64", "99"]])


def test_the_page_is_that_of_its_figures(benchmark_modules):
    gpu_page = benchmark_modules("gpu_page")
    text = gpu_page.PAGE.read_text(encoding="utf-8")
    assert text == gpu_page.page(gpu_page.kept()), "run benchmarks/on_gpu.py --page"


def test_without_figures_the_page_says_so_and_invents_none(benchmark_modules):
    text = benchmark_modules("gpu_page").page(None)
    assert "There are no GPU figures yet" in text and "GPU hours" not in text


def test_figures_become_hours(benchmark_modules):
    found = figures(gan=GAN, gan_bf16=(GAN[0], [["cyclegan", "128", "20"]]))
    text = benchmark_modules("gpu_page").page(found)
    assert "There are no GPU figures" not in text and "Projections, not measurements" in text
    assert f"| CycleGAN | optimiser steps of one slice | 898,000 | {898e3 / 36000:.0f} | {898e3 / 72000:.0f} |" in text
    assert "| all |  |  | not measured | not measured |" in text


def test_the_papers_work_is_counted_from_its_plan(benchmark_modules):
    projection = benchmark_modules("gpu_projection")
    from xmodbench.plan.config import load_config
    from xmodbench.plan.plan import Plan

    def amounts(overrides=None):
        plan = Plan(load_config(projection.PAPER, overrides), "paper")
        return {(one.method.split()[0], one.kind): one.amount for one in projection.counted(plan)}

    found = amounts()
    steps, ixi = 2 * 1000 * (993 + 952) / 4, 2 * 1000 * 300 / 4  # two targets each, 1000 epochs in batches of 4
    assert found["SDEdit", "sdedit step"] == steps + ixi
    assert found["MIDiffusion", "midiffusion step"] == steps + 10 * ixi
    assert found["MIDiffusion", "evaluation"] == 1000 * 2 * (227 + 216 + 75)
    assert found["SDEdit", "evaluation"] == 400 * 1036
    assert found["CycleGAN", "cyclegan step"] == 2 * 200 * (993 + 952 + 300)
    assert found["StyleGAN2-ADA", "stylegan2 image"] == 6 * 5e6
    changed = amounts(
        {"methods": {"midiffusion": {"settings": {"sampler": "heun", "sampling_steps": 10, "epochs": 100}}}}
    )
    assert changed["MIDiffusion", "evaluation"] == 19 * 1036
    assert changed["MIDiffusion", "midiffusion step"] == steps / 10 + 10 * ixi


@pytest.mark.parametrize("change", [{"tiny": True}, {"device": "cpu"}])
def test_a_rehearsal_is_no_measurement(benchmark_modules, tmp_path, change):
    gpu_page, file = benchmark_modules("gpu_page"), tmp_path / "gpu.json"
    file.write_text(json.dumps({**figures(gan=GAN), **change}))
    with pytest.raises(UserError, match="no measurement of a GPU"):
        gpu_page.write_page(file)


def test_figures_are_kept_with_their_picture(benchmark_modules, tmp_path, monkeypatch):
    gpu_page, new = benchmark_modules("gpu_page"), tmp_path / "new"
    new.mkdir()
    for name in ("PAGE", "FIGURES", "PICTURE"):
        monkeypatch.setattr(gpu_page, name, tmp_path / getattr(gpu_page, name).name)
    (new / "gpu.json").write_text(json.dumps(figures(heads=(["a"], [["1"]]))))
    (new / "heads.png").write_bytes(b"picture")
    gpu_page.write_page(new / "gpu.json")
    assert gpu_page.kept() == figures(heads=(["a"], [["1"]]))
    assert "(gpu-heads.png)" in gpu_page.PAGE.read_text() and gpu_page.PICTURE.read_bytes() == b"picture"
    text = gpu_page.PAGE.read_text()
    gpu_page.write_page(None)
    assert gpu_page.PAGE.read_text() == text
