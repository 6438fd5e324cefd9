"""A page in headless Chromium, driven by selenium: for measuring, taking pictures, and the tests marked `browser`."""

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
"""Seconds after which a page that is not ready is given up."""


def missing() -> str:
    """What keeps Chromium from being driven here; "" where nothing does."""
    gone = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    gone += [] if find_spec("selenium") else ["selenium"]
    return f"{', '.join(gone)} not installed (Debian: chromium chromium-driver)" if gone else ""


@contextmanager
def chromium(*, width: int = 1440, height: int = 1000, dark: bool = False) -> Iterator["Chrome"]:
    """A browser with a new profile, a window of this size in CSS pixels, and logs of console and network."""
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
    """The first true value of a JavaScript expression; raises TimeoutError after `PATIENCE` seconds."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if found := driver.execute_script(f"return {condition}"):
            return found
        time.sleep(0.05)
    raise TimeoutError(condition)


def open_page(driver: "Chrome", page: Path, fragment: str = "") -> float:
    """Open a report, wait until it can be used, and tell the seconds that this took the browser."""
    driver.get("about:blank")
    driver.get(page.resolve().as_uri() + fragment)
    ready = "document.body.dataset.ready && performance.getEntriesByName('ready')[0].startTime"
    return float(wait(driver, ready)) / 1000


def picture(driver: "Chrome", clip: tuple[float, float, float, float]) -> bytes:
    """A part of the page as PNG: left, top, width, height in CSS pixels from the page's corner."""
    box = dict(zip(("x", "y", "width", "height"), clip, strict=True)) | {"scale": 1}
    shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": box})
    return base64.b64decode(shot["data"])


def pdf(driver: "Chrome") -> bytes:
    """The page as printed on A4."""
    made = driver.execute_cdp_cmd(
        "Page.printToPDF", {"printBackground": True, "paperWidth": 8.27, "paperHeight": 11.69}
    )
    return base64.b64decode(made["data"])


def requests(driver: "Chrome") -> list[str]:
    """Addresses that were asked for since the last call."""
    events = (json.loads(entry["message"])["message"] for entry in driver.get_log("performance"))
    return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
