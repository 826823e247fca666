"""The page in a real browser, opened from a file."""

from __future__ import annotations

import json

import pytest

from tests.report.browser import NEEDED, open_page, resize, show, wait_for
from xmodbench.files import write_json
from xmodbench.report.model import Report
from xmodbench.report.page import write_page

pytestmark = NEEDED


def test_no_errors_and_no_request_beyond_the_file(driver, page):
    assert [entry for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = {m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"}
    asked = {url for url in asked if not url.startswith(("data:", "blob:", "chrome:"))}
    assert page.as_uri() in asked
    beside = (page.parent / "report_files").as_uri()
    assert all(url.startswith(beside) for url in asked - {page.as_uri()})


def test_images_and_plots_are_drawn(driver):
    sizes = driver.execute_script(
        "return [...document.querySelectorAll('#images img')]"
        ".map((image) => [image.naturalWidth, image.getBoundingClientRect().width])"
    )
    assert len(sizes) == 2
    assert all(width > 400 and shown > 300 for width, shown in sizes)
    show(driver, "#images img")
    wait_for(driver, "document.querySelector('#images img').currentSrc.endsWith('.png')")  # as it was drawn
    for name in ("dots", "tradeoff"):
        show(driver, f"#{name}")
        wait_for(driver, f"document.querySelectorAll('#{name} .scatterlayer .point').length > 3")


def test_every_data_set_is_shown_with_pictures(driver):
    assert driver.execute_script("return document.querySelectorAll('#data .data').length") == 2
    driver.execute_script("document.querySelectorAll('#data details').forEach((part) => { part.open = true; })")
    driver.execute_script("document.querySelectorAll('#data img').forEach((image) => { image.loading = 'eager'; })")
    wait_for(driver, "[...document.querySelectorAll('#data img')].every((image) => image.naturalWidth > 100)")


def column(driver, place: int) -> list[str]:
    script = f"return [...document.querySelectorAll('#all tbody tr')].map((row) => row.cells[{place}].dataset.order)"
    return driver.execute_script(script)


def test_the_table_sorts_by_value_and_filters(driver):
    show(driver, "[data-rows=all]")
    heading = "document.querySelectorAll('#all thead th')[5]?.querySelector('.dt-column-title')"
    wait_for(driver, heading)
    driver.execute_script(f"{heading}.click()")
    wait_for(driver, "document.querySelectorAll('#all thead th')[5].ariaSort === 'ascending'")
    rising = [float(value) for value in column(driver, 5)]
    assert len(rising) == 25
    assert rising == sorted(rising)
    driver.execute_script(f"{heading}.click()")
    wait_for(driver, "document.querySelectorAll('#all thead th')[5].ariaSort === 'descending'")
    falling = [float(value) for value in column(driver, 5)]  # what has no value is at the end either way
    assert falling == sorted(falling, reverse=True)
    driver.execute_script(
        "const box = document.querySelector('#all').closest('.dt-container').querySelector('input[type=search]');"
        "box.value = 'Oracle'; box.dispatchEvent(new Event('input', { bubbles: true }));"
    )
    shown = "[...document.querySelectorAll('#all tbody tr')].every((row) => row.cells[2].textContent === 'Oracle')"
    wait_for(driver, shown)


def test_the_menu_changes_the_plotted_metric(driver):
    show(driver, "#dots")
    wait_for(driver, "document.querySelector('#dots .xtitle')")
    driver.execute_script(
        "const menu = document.getElementById('metric');"
        "menu.value = [...menu.options].find((option) => option.textContent.startsWith('NMI')).value;"
        "menu.dispatchEvent(new Event('change'));"
    )
    wait_for(driver, "document.querySelector('#dots .xtitle').textContent.startsWith('NMI')")
    shown = driver.execute_script("return document.getElementById('dots').data.filter((it) => it.visible).length")
    assert shown == 2


@pytest.mark.parametrize("width", [360, 820, 1920], ids=["phone", "tablet", "wide"])
def test_no_width_needs_sideways_scrolling(driver, width):
    resize(driver, width)
    try:
        wait_for(driver, "document.documentElement.scrollWidth === document.documentElement.clientWidth")
    finally:
        resize(driver, 1280)


def test_printing_opens_all_folds(driver):
    driver.execute_cdp_cmd("Page.printToPDF", {})
    assert driver.execute_script("return [...document.querySelectorAll('details')].every((part) => part.open)")
    names = driver.execute_script(
        "return [...document.querySelectorAll('script[data-plot]')].map((it) => it.dataset.plot)"
    )
    assert all(driver.execute_script("return document.getElementById(arguments[0]).data", name) for name in names)


def test_hostile_text_does_not_run(driver, copied, tmp_path):
    write_json(copied.model_dir(copied.cells[0]) / "failure.json", {"error": "<img src=x onerror='window.hit=1'>"})
    write_page(Report.read(copied, True), {}, tmp_path / "report.html")
    open_page(driver, tmp_path / "report.html")
    assert driver.execute_script("return window.hit === undefined")
    assert "onerror='window.hit=1'" in driver.find_element("id", "continue").text
