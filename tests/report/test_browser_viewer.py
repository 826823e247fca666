"""The case viewer in a real browser: by keyboard, by click, without its folder."""

from __future__ import annotations

import shutil

import pytest

from tests.report.browser import NEEDED, open_page, resize, show, wait_for

pytestmark = NEEDED
STAGE = "document.querySelector('#viewer .stage')"


def press(driver, *keys):
    driver.execute_script(f"{STAGE}.focus()")
    for key in keys:
        driver.execute_script(
            "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key: arguments[0], bubbles: true }))",
            key,
        )
    return status(driver)


def status(driver) -> str:
    return driver.execute_script("return document.querySelector('#viewer .status').textContent")


def shown(driver) -> int:
    """Place of the image that is on the stage."""
    script = "return [...document.querySelectorAll('#viewer .tile')].findIndex((tile) => tile.ariaPressed === 'true')"
    return driver.execute_script(script)


def test_keys_flip_through_the_images_of_one_slice(driver):
    first = press(driver, "s").partition("Slice")[2]
    seen = [press(driver, "ArrowRight").partition(". Slice") for _ in range(2)]
    assert [name.partition(":")[0] for name, _, _ in seen] == ["target (T1)", "Good & <careful>"]
    assert {where for _, _, where in seen} == {first}
    assert press(driver, "t").startswith("target (T1)")
    assert press(driver, " ").startswith("Good & <careful>: PSNR")  # back from the target
    assert shown(driver) == 2


def test_keys_walk_from_the_worst_to_the_best(driver):
    count = int(press(driver, "1", "w").partition(" of ")[2].split()[0])
    assert "number 1 of" in status(driver)
    assert "number 2 of" in press(driver, "ArrowDown")
    assert "number 1 of" in press(driver, "ArrowUp", "ArrowUp")  # there is none worse
    assert f"number {count} of" in press(driver, "b")
    assert f"number {count // 2 + 1} of" in press(driver, "m")


def test_a_difference_is_blended_and_the_target_has_none(driver):
    press(driver, "s", "d")
    style = driver.execute_script(f"const s = getComputedStyle({STAGE}); return [s.backgroundBlendMode, s.filter]")
    assert style == ["difference, normal", 'url("#error-colours")']
    assert driver.execute_script("return document.querySelector('[data-go=difference]').ariaPressed") == "true"
    assert status(driver).startswith("|source (PD) − target|")
    press(driver, "t")
    assert driver.execute_script(f"return getComputedStyle({STAGE}).backgroundBlendMode") == "normal"
    press(driver, "d")


def test_a_number_in_the_table_opens_the_median_case(driver):
    driver.execute_script('document.querySelector(\'a.open[data-method="noisy"][data-metric="paper.mi"]\').click()')
    assert status(driver).startswith("Noisy: MI")
    assert "number 8 of 14 by the scores of Noisy" in status(driver)
    assert driver.execute_script(f"return document.activeElement === {STAGE}")


def test_a_point_opens_its_case(driver):
    show(driver, "#case-points")
    wait_for(driver, "document.querySelectorAll('#case-points .point').length > 20")
    show(driver, "#case-subjects")
    wait_for(driver, "document.querySelectorAll('#case-subjects .scatterlayer .trace').length === 8")
    point = "document.getElementById('case-points').data[0].customdata[11]"
    driver.execute_script(
        f"const points = document.getElementById('case-points'); const customdata = {point};"
        "points.emit('plotly_click', { points: [{ customdata, pointNumber: 11, data: points.data[0] }] });"
    )
    assert "Slice sub05_011," in status(driver)


def test_another_direction_brings_its_own_pictures(driver):
    script = (
        "const menu = document.querySelector('[data-choice=group]'); menu.value = 1; menu.dispatchEvent(new Event('change', "
        f"{{ bubbles: true }})); return {STAGE}.style.backgroundImage"
    )
    assert "report_files/cases/sim_heads.pd-to-t1/" in driver.execute_script(script)
    menu = driver.execute_script("return document.querySelector('[data-choice=group]').selectedOptions[0].text")
    assert menu == "Sim Heads: PD → T1 (simulated)"


def test_on_a_phone_it_fits(driver):
    resize(driver, 360)
    wait_for(driver, "document.documentElement.scrollWidth === document.documentElement.clientWidth")
    width = driver.execute_script(f"return {STAGE}.getBoundingClientRect().right")
    assert 200 < width <= 360
    resize(driver, 1280)


@pytest.mark.fault(
    "report and command line", "the page without the folder of its pictures", "small pictures in their place"
)
def test_without_its_folder_small_pictures_remain(driver, page, tmp_path):
    shutil.copy(page, tmp_path / "report.html")
    open_page(driver, tmp_path / "report.html")
    wait_for(driver, f"{STAGE}.style.backgroundImage.startsWith('url(\"data:image/webp')")
