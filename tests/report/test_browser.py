"""The page in a real headless browser: nothing to scroll sideways, nothing on the console."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from taxiops.report import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
DESKTOP, PHONE = (1280, 900), (360, 740)

pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    profile = tmp_path_factory.mktemp("profile")
    for argument in (
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
        *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
        *("--disable-sync", "--hide-scrollbars", f"--user-data-dir={profile}"),
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, Service(DRIVER))
    yield driver
    driver.quit()


def opened(browser: webdriver.Chrome, page: Path, size: tuple[int, int]) -> None:
    """The page in a viewport of this size, whatever the window around it."""
    width, height = size
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(page.as_uri())


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_fits_and_has_no_complaint(
    browser: webdriver.Chrome,
    tmp_path: Path,
    comparison: dict[str, Any],
    samples: dict[str, Any],
    size: tuple[int, int],
    theme: str,
) -> None:
    page = write_report(tmp_path, comparison, samples).html
    scheme = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)
    opened(browser, page, size)
    browser.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
    root = "document.documentElement"
    width, needed = browser.execute_script(f"return [{root}.clientWidth, {root}.scrollWidth]")
    assert (width, needed) == (size[0], size[0])
    assert browser.get_log("browser") == []
    heading = browser.find_element("css selector", "header.verdict h1")
    assert heading.is_displayed()
    assert heading.location["y"] < size[1] / 3
    for drawing in browser.find_elements("css selector", "figure svg"):
        assert drawing.size["width"] <= size[0]
        assert drawing.get_attribute("aria-label") or drawing.find_elements("css selector", "title")


def test_the_ink_is_readable_on_its_surface_in_both_themes(
    browser: webdriver.Chrome, tmp_path: Path, comparison: dict[str, Any], samples: dict[str, Any]
) -> None:
    page = write_report(tmp_path, comparison, samples).html
    for theme in ("light", "dark"):
        scheme = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)
        opened(browser, page, DESKTOP)
        for place in ("header.verdict p", "p.muted", "figcaption", "td"):
            colours = browser.execute_script(
                "const e = document.querySelector(arguments[0]);"
                "const s = document.querySelector('section');"
                "return [getComputedStyle(e).color, getComputedStyle(s).backgroundColor]",
                place,
            )
            # WCAG 2.2, success criterion 1.4.3.
            assert contrast(*map(luminance, colours)) >= 4.5, (theme, place, colours)


def luminance(colour: str) -> float:
    """Relative luminance of `rgb(r, g, b)` (WCAG 2.2)."""
    parts = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)
