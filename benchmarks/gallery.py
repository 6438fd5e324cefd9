"""Take screenshots of a report's parts for docs/gallery.md, from a sweep over the specimen corpus.

legalrr experiment=quickstart limit=8
python benchmarks/gallery.py runs/sweep/STAMP

Needs Chromium with its driver, and selenium. Sweeps over other corpora are refused: their text must not be published.
"""

import argparse
import io
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from chromium import chromium, missing, open_page, picture, wait

from legalrr.report.compare import read_report
from legalrr.report.sweep import write_page

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

OUT = Path(__file__).resolve().parent.parent / "docs" / "gallery"
PARTS = {
    "head": ("body > header", "#results .scroll"),
    "results": ("#results .scroll", "#results .scroll"),
    "compared": ("#compared .grid", "#compared .grid"),
    "effects": ("#effects .lead", "#effects .key + .scroll"),
    "power": ("#power", "#power"),
    "errors": ("#errors .lead", "#errors .key"),
    "calibration": ("#errors .grid", "#errors .grid"),
    "health": ("#health > .scroll", "#health > .scroll"),
    "judgments": (".desk", ".desk"),
}
"""Selectors of the first and last element of each picture."""
TALLEST = 1000
"""Maximum height in pixels; taller pictures are cut."""
CASE, ARM = "tax-2", "drc"
COLOURS = 256
PAD = 12


def clip(driver: "Chrome", first: str, last: str) -> tuple[float, float, float, float]:
    """Return the box around two elements: left, top, width, height."""
    script = """
        const [first, last] = [...arguments].map((name) => document.querySelector(name).getBoundingClientRect());
        const right = Math.max(first.right, last.right);
        return [first.left + scrollX, first.top + scrollY, right - first.left, last.bottom - first.top];
    """
    left, top, width, height = driver.execute_script(script, first, last)
    return max(0, left - PAD), max(0, top - PAD), width + 2 * PAD, min(TALLEST, height + 2 * PAD)


def save(name: str, shot: bytes) -> None:
    """Write a picture with a palette of few colours."""
    from PIL import Image

    image = Image.open(io.BytesIO(shot)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    path = OUT / f"{name}.png"
    image.save(path, optimize=True)
    print(f"{path.relative_to(OUT.parent.parent)}  {path.stat().st_size / 1000:.0f} kB")


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("sweep", type=Path, help="folder of a sweep over the specimen")
    sweep = parser.parse_args().sweep
    if missing():
        sys.exit(missing())
    report = read_report([sweep])
    if {cell.setup.corpus for cell in report.cells if cell.setup} != {"specimen"}:
        sys.exit(f"{sweep}: only pictures of the corpus specimen may be published")
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        page = write_page(report, [sweep], Path(scratch))
        address = f"#case={CASE}&arm={ARM}"
        with chromium(width=1280) as driver:
            open_page(driver, page, address)
            wait(driver, f"(document.querySelector('.reader').dataset.ready || '').startsWith({CASE!r})")
            for name, (first, last) in PARTS.items():
                save(name, picture(driver, clip(driver, first, last)))
        for name, width, height, dark in (("dark", 1280, 900, True), ("phone", 390, 844, False)):
            with chromium(width=width, height=height, dark=dark) as driver:
                open_page(driver, page)
                save(name, picture(driver, (0, 0, width, height)))


if __name__ == "__main__":
    main()
