"""Drive headless Chromium with selenium: for measurements, screenshots, and the tests marked `browser`."""

import base64
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
PATIENCE = 60.0
"""Timeout for a page to become ready, in seconds."""


def missing() -> str:
    """Return a message about what is not installed; "" if Chromium can be driven."""
    absent = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    absent += [] if find_spec("selenium") else ["selenium"]
    return f"{', '.join(absent)} not installed (Debian: chromium chromium-driver)" if absent else ""


@contextmanager
def chromium(*, width: int = 1440, height: int = 1000, dark: bool = False) -> Iterator["Chrome"]:
    """Start a browser with a new profile, a window size in CSS pixels, and logs of console and network."""
    from selenium import webdriver

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = str(shutil.which("chromium"))
        for flag in (*FLAGS, f"--window-size={width},{height}", f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(shutil.which("chromedriver"))))
        try:
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
            yield driver
        finally:
            driver.quit()


def wait(driver: "Chrome", condition: str) -> Any:
    """Poll a JavaScript expression until it is true, and return it; raises TimeoutError after `PATIENCE` seconds."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if found := driver.execute_script(f"return {condition}"):
            return found
        time.sleep(0.05)
    raise TimeoutError(condition)


def open_page(driver: "Chrome", page: Path, fragment: str = "") -> float:
    """Open a report, wait until it is interactive, and return the seconds that this took in the browser."""
    driver.get("about:blank")
    driver.get(page.resolve().as_uri() + fragment)
    ready = "document.body.dataset.ready && performance.getEntriesByName('ready')[0].startTime"
    return float(wait(driver, ready)) / 1000


def picture(driver: "Chrome", clip: tuple[float, float, float, float]) -> bytes:
    """Take a screenshot as PNG of left, top, width, height, in CSS pixels from the page's corner."""
    box = dict(zip(("x", "y", "width", "height"), clip, strict=True)) | {"scale": 1}
    shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": box})
    return base64.b64decode(shot["data"])


def pdf(driver: "Chrome") -> bytes:
    """Print the page to an A4 PDF."""
    made = driver.execute_cdp_cmd(
        "Page.printToPDF", {"printBackground": True, "paperWidth": 8.27, "paperHeight": 11.69}
    )
    return base64.b64decode(made["data"])


def requests(driver: "Chrome") -> list[str]:
    """Return the URLs requested since the last call."""
    events = (json.loads(entry["message"])["message"] for entry in driver.get_log("performance"))
    return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
