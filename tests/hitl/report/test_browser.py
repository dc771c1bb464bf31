"""The report in headless Chromium: as a person sees it, clicks it and prints it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hitl.project.folder import Project
from hitl.project.reporter import Silent
from hitl.report.build import build
from hitl.report.inputs import read_inputs
from hitl.report.nuclei import SCORED_COLUMNS, Table
from hitl.report.page import page as render
from hitl.report.write import Written

MANY = 5000


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip(f"none of {', '.join(names)} is installed: apt-get install chromium")
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync.sync_playwright() as playwright:
        # Root, as in a container, may not use the sandbox.
        # Without the others a page on a busy machine may be taken for one in the background.
        started = playwright.chromium.launch(
            executable_path=program,
            args=[
                "--no-sandbox",
                "--disable-renderer-backgrounding",
                "--disable-backgrounding-occluded-windows",
            ],
        )
        yield started
        started.close()


@pytest.fixture
def file(written: Written) -> Path:
    return written.file


class Opened:
    """A page, and what went wrong in it."""

    def __init__(self, browser: Any, file: Path, **options: Any) -> None:
        self.page = browser.new_page(viewport={"width": 1240, "height": 900}, **options)
        self.page.set_default_timeout(120_000)
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._request)
        self.page.goto(file.as_uri())

    def _request(self, request: Any) -> None:
        if not request.url.startswith("data:") and request.url != self.page.url:
            self.complaints.append(request.url)

    def column(self, key: str) -> list[str]:
        """The text of a column's cells."""
        keys = "[...document.querySelectorAll('#objects th')].map((head) => head.dataset.key)"
        index = self.page.evaluate(keys).index(key) + 1
        cells = self.page.locator(f"#objects tbody td:nth-child({index})")
        found: list[str] = cells.all_inner_texts()
        return found


@pytest.fixture
def opened(browser: Any, file: Path) -> Iterator[Opened]:
    found = Opened(browser, file)
    found.complaints = [c for c in found.complaints if c != file.as_uri()]
    yield found
    assert found.complaints == []
    found.page.close()


def test_every_picture_loads_and_nothing_is_asked_for(opened: Opened) -> None:
    images = "[...document.images].map((i) => i.complete && i.naturalWidth)"
    widths = opened.page.evaluate(images)
    assert len(widths) >= 12
    assert min(widths) > 0
    assert opened.page.evaluate("window.hacked") is None
    assert opened.page.locator("svg.chart").count() >= 8


def test_the_table_sorts_and_filters(opened: Opened) -> None:
    opened.page.locator("#page-size").select_option("500")
    head = opened.page.locator('#objects th[data-key="x"]')
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    up = [float(text) for text in opened.column("x") if text != "–"]
    assert up == sorted(up)
    assert len(set(up)) > 3
    head.locator("button").click()
    down = [float(text) for text in opened.column("x") if text != "–"]
    assert down == sorted(up, reverse=True)
    middle = up[len(up) // 2]
    sides = {f">{middle}": lambda x: x >= middle, f"0..{middle}": lambda x: x <= middle}
    for wanted, holds in sides.items():
        opened.page.locator('#objects input[data-key="x"]').fill(wanted)
        kept = [float(text) for text in opened.column("x")]
        assert 0 < len(kept) < len(up)
        assert all(holds(x) for x in kept)


def test_the_surface_is_drawn_and_turns_with_the_keyboard(opened: Opened) -> None:
    # Read from a copy made for reading: Chromium warns about the canvas that is drawn on.
    copied = """(c) => { const o = new OffscreenCanvas(c.width, c.height);
        const t = o.getContext("2d", { willReadFrequently: true });
        t.drawImage(c, 0, 0);
        return t; }"""
    opened.page.evaluate(f"() => {{ window.copy = {copied}; }}")
    read = """() => { const c = document.getElementById("surface"); let s = 0;
        const d = copy(c).getImageData(0, 0, c.width, c.height).data;
        for (let k = 0; k < d.length; k += 1) s = (s * 31 + d[k]) % 1000003;
        return s; }"""
    coloured = """() => { const c = document.getElementById("surface"); let n = 0;
        const d = copy(c).getImageData(0, 0, c.width, c.height).data;
        for (let k = 0; k < d.length; k += 4) if (Math.abs(d[k] - d[k + 2]) > 60) n += 1;
        return n; }"""
    assert opened.page.evaluate(coloured) > 2000
    before = opened.page.evaluate(read)
    opened.page.locator("#surface").press("ArrowLeft")
    # A screenshot makes Chromium draw a frame, which it may put off where nobody looks.
    opened.page.screenshot()
    opened.page.wait_for_function(f"({read})() !== {before}", polling=100)


def test_dark_colours_by_preference_and_by_button(browser: Any, file: Path) -> None:
    found = Opened(browser, file, color_scheme="dark")
    colour = "getComputedStyle(document.body).backgroundColor"
    dark = found.page.evaluate(colour)
    assert max(map(int, dark[4:-1].split(","))) < 60
    found.page.locator("#theme").click()
    assert min(map(int, found.page.evaluate(colour)[4:-1].split(","))) > 200
    found.page.close()


def test_it_prints_and_fits_a_telephone(opened: Opened) -> None:
    pdf = opened.page.pdf(format="A4")
    assert pdf.startswith(b"%PDF")
    assert pdf.count(b"/Type /Page\n") >= 3
    opened.page.set_viewport_size({"width": 390, "height": 800})
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 390


def test_five_thousand_nuclei_put_one_page_of_rows_into_the_document(
    browser: Any, project: Project, tmp_path: Path
) -> None:
    report = build(read_inputs(project), 2, Silent())
    values = {
        key: [f"{kind} {n}" if kind == "text" else (n * 7919) % MANY for n in range(MANY)]
        for key, _, kind in SCORED_COLUMNS
    }
    report.tables[:] = [Table("many", SCORED_COLUMNS, json.loads(json.dumps(values)))]
    file = tmp_path / "many.html"
    file.write_text(render(report, "many.json"), encoding="utf-8")
    found = Opened(browser, file)
    assert found.page.locator("#objects tbody tr").count() == 25
    assert found.page.locator("#row-count").inner_text() == f"{MANY} of {MANY} nuclei"
    found.page.locator('#objects th[data-key="id"] button').click()
    assert found.column("id") == [str(n) for n in range(25)]
    found.page.locator("#page-on").click()
    assert found.column("id") == [str(n) for n in range(25, 50)]
    found.page.close()
