"""A real browser for the page's tests: Chromium, driven by Selenium."""

from __future__ import annotations

import shutil
from contextlib import contextmanager

import pytest

NEEDED = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (shutil.which("chromium") and shutil.which("chromedriver")),
        reason="needs Debian's packages chromium and chromium-driver",
    ),
]
OPTIONS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage"
)


@contextmanager
def opened(page, profile):
    """A driver with the page open; its log holds what the page asked for, from the page itself on."""
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    for option in [*OPTIONS.split(), f"--user-data-dir={profile}"]:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    browser = webdriver.Chrome(options=options, service=service)
    try:
        browser.get("about:blank")
        browser.get_log("performance")  # what the browser's own start page asked for
        open_page(browser, page)
        yield browser
    finally:
        browser.quit()


def open_page(browser, page) -> None:
    """Open a page and wait until its tables, plots and cases are alive."""
    browser.get(page.as_uri())
    for name in ("tables", "plots"):
        wait_for(browser, f"document.documentElement.dataset.{name} === 'ready'")


def wait_for(browser, condition: str) -> None:
    """Wait until a condition in JavaScript holds."""
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 30).until(lambda it: it.execute_script(f"return {condition}"))


def resize(browser, width: int) -> None:
    """Make the window so wide."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    wait_for(browser, f"window.innerWidth === {width}")


def show(browser, selector: str) -> None:
    """Scroll to an element, so that what waits to be in sight is drawn."""
    browser.execute_script("document.querySelector(arguments[0]).scrollIntoView()", selector)
