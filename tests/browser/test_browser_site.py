"""The site in a real browser: nothing is refused or fetched from elsewhere, and it works by keyboard and on a small screen.

`HARNESS_PICTURES=DIR` keeps a picture of each page at both widths, for people to look at.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from harness.record.history import History
from harness.record.models import Experiment, ExperimentRun, Run
from tests import ci_gates, histories, records, report_hostile
from tests.browser.chromium import Browser
from tests.serving import Served

PASSED, KILLED, GOING, NASTY = records.RUN_ID, "20261122-093102-m5w2z", "20261122-100000-nnnnn", "20261122-110000-hhhhh"
GATE = "20261122-030000-xxxxx"
PAGES = {
    "runs": "", "experiments": "experiments/", "compare-empty": "compare", "compare": f"compare?a={PASSED}&b={KILLED}",
    "history": "history", "metric": "history?metric=memory.rss.peak", "report": f"runs/{PASSED}/", "hostile": f"runs/{NASTY}/",
    "gate": f"experiments/{GATE}/", "broken": "runs/20261122-130000-bbbbb/", "live": f"runs/{GOING}/",
}  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A site with a record of each sort; nothing in it was measured."""
    root = tmp_path_factory.mktemp("browser") / "runs"
    for make, name in ((records.passing, PASSED), (records.oom_killed, KILLED)):
        record, verdict = make(root / name)
        record.save_verdict(verdict)
    nasty, verdict = report_hostile.record(root / NASTY)
    nasty.save_verdict(verdict)
    (root / "20261122-130000-bbbbb").mkdir()
    (root / "20261122-130000-bbbbb" / "run.json").write_text('{"schema": "harness.r')
    going = records.RecordBuilder(root / GOING, run_id=GOING)
    going.phase("start", "start", 0.0, 2.0)
    going.phase("create-Secret", "create", 2.0, None, kind="Secret", requested=400, requested_per_s=20.0)
    going.samples("memory", "memory.cgroup", [(t / 10, 1e8 + 6e5 * t) for t in range(150)])
    going.samples("memory", "memory.rss", [(t / 10, 1.1e8 + 6e5 * t) for t in range(150)])
    going.samples("memory", "memory.limit", [(1.0, 256 * records.MIB)])
    going.samples("tasks", "tasks", [(t, 40 + t) for t in range(15)])
    for number in range(260):
        going.request("create-Secret", 2 + number / 20, 2 + number / 20)
    going.write(state="running", ended_at=None, outcome=None)
    folder = root / "experiments" / GATE
    folder.mkdir(parents=True)
    runs = [ExperimentRun(run_id=PASSED, arm="baseline", order=1, verdict="passed", exit_code=0, pair=1)]
    facts = Experiment(
        experiment_id=GATE, scenario="smoke", started_at=records.STARTED, runs=runs, exit_code=1, kind="gate"
    )
    (folder / "experiment.json").write_text(facts.model_dump_json(by_alias=True))
    (folder / "gate.json").write_text(ci_gates.gate("regress").model_dump_json(by_alias=True))
    history = root.parent / "history"
    History(history).add([histories.entry(number, 1e8 * (1 + (number > 9) / 2)) for number in range(20)])
    with Served(root, history) as served:
        yield served


def _in_a_browser(steps: Callable[[Browser], Awaitable[None]]) -> None:
    async def run() -> None:
        async with Browser() as browser:
            await steps(browser)
            assert browser.problems == []

    asyncio.run(run())


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (360, 740)])
def test_every_page_fits_the_screen_and_breaks_no_policy(served: Served, width: int, height: int) -> None:
    async def steps(browser: Browser) -> None:
        await browser.size(width, height, mobile=width < 600)
        for name, path in PAGES.items():
            await browser.open(served.address + path)
            if name == "live":
                await browser.until("document.querySelectorAll('.main-svg').length >= 3")
            if folder := os.environ.get("HARNESS_PICTURES"):
                await asyncio.sleep(0.5)
                await browser.picture(Path(folder) / f"{name}-{width}.png")
            wide = await browser.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{name} is {wide} wide"
            assert await browser.evaluate("window.pwned") is None, name
            if name == "broken":
                browser.problems.pop()  # the page is a 500, which the browser's log tells
            assert browser.problems == [], name

    _in_a_browser(steps)


def test_the_list_works_by_keyboard(served: Served) -> None:
    focused = "document.activeElement.textContent.trim()"

    async def steps(browser: Browser) -> None:
        await browser.size(1280, 900)
        await browser.open(served.address)
        await browser.press("Tab")
        assert await browser.evaluate(focused) == "To the content"
        await browser.press("Tab")
        assert await browser.evaluate(focused) == "Runs"
        await browser.press("Tab", "Tab", "Tab", "Tab")
        assert await browser.evaluate(focused) == "Keyboard"
        await browser.press("Enter")
        assert await browser.evaluate("document.getElementById('help').open")
        await browser.press("Escape")
        assert not await browser.evaluate("document.getElementById('help').open")
        await browser.press("?")
        assert await browser.evaluate("document.getElementById('help').open")
        await browser.press("Escape", "/")
        assert await browser.evaluate("document.activeElement.id") == "filter"
        await browser.press("m", "5", "w", "2", "Enter")
        await browser.arrive("location.search.includes('q=m5w2')")
        assert await browser.evaluate("document.querySelectorAll('a.row').length") == 1
        await browser.open(f"{served.address}?sort=started_at")
        await browser.press("j", "j")
        second = await browser.evaluate(focused)
        await browser.press("j", "k")
        assert await browser.evaluate(focused) == second
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert await browser.evaluate(outline) == "solid", "one must see where one is"
        await browser.evaluate(f"document.querySelector('a.row[href*=\"{PASSED}\"]').focus()")
        await browser.press("x")
        await browser.evaluate(f"document.querySelector('a.row[href*=\"{KILLED}\"]').focus()")
        await browser.press("x")
        assert await browser.evaluate("document.getElementById('chosen').textContent") == "two are chosen"
        await browser.press("c")
        await browser.arrive("location.pathname === '/compare' && document.querySelectorAll('.main-svg').length > 0")
        await browser.press("g", "h")
        await browser.arrive("location.pathname === '/history'")
        await browser.press("g", "r")
        await browser.arrive("location.pathname === '/'")
        assert browser.problems == []
        await browser.press("j", "Enter")
        await browser.arrive("location.pathname.startsWith('/runs/')")
        browser.problems.clear()  # the newest is the broken one: a 500

    _in_a_browser(steps)


def test_letters_are_no_shortcuts_where_somebody_does_not_want_them(served: Served) -> None:
    async def steps(browser: Browser) -> None:
        await browser.open(served.address)
        await browser.evaluate("document.getElementById('single').click()")
        await browser.press("/")
        assert await browser.evaluate("document.activeElement.id") != "filter"
        await browser.open(f"{served.address}experiments/")
        await browser.press("/")
        assert await browser.evaluate("document.activeElement.id") != "filter", "it is remembered"

    _in_a_browser(steps)


def test_everything_on_a_page_can_be_reached_by_tab(served: Served) -> None:
    async def steps(browser: Browser) -> None:
        await browser.size(1280, 900)
        for path in ("", f"compare?a={PASSED}&b={KILLED}", "history?metric=memory.rss.peak"):
            await browser.open(served.address + path)
            await browser.evaluate("window.reached = new Set(), 0")
            for _ in range(90):
                await browser.press("Tab")
                await browser.evaluate("window.reached.add(document.activeElement), 0")
            missed = await browser.evaluate(
                "[...document.querySelectorAll('a, button, input, select')].filter((e) => e.checkVisibility() && "
                "!window.reached.has(e)).map((e) => e.outerHTML)"
            )
            assert missed == [], path

    _in_a_browser(steps)


def test_a_run_that_goes_on_is_followed(served: Served) -> None:
    async def steps(browser: Browser) -> None:
        await browser.size(1280, 900)
        await browser.open(f"{served.address}runs/{GOING}/")
        await browser.until("document.getElementById('phase').textContent.includes('create-Secret')")
        assert await browser.evaluate("document.getElementById('done').textContent") == "260 of 400"
        assert "% of the limit of 256.0 MiB" in await browser.evaluate("document.getElementById('limit').textContent")
        folder = served.site.library.root / GOING
        run = Run.model_validate_json((folder / "run.json").read_bytes())
        sealed = run.model_copy(update={"state": "sealed", "ended_at": records.STARTED})
        (folder / "sealed").write_text(sealed.model_dump_json(by_alias=True))
        try:
            (folder / "sealed").replace(folder / "run.json")  # at once: the server reads it all the time
            await browser.until("document.getElementById('over').textContent.includes('The run is over')")
            assert await browser.evaluate("document.querySelector('#over a').getAttribute('href')") == f"/runs/{GOING}/"
        finally:
            (folder / "run.json").write_text(run.model_dump_json(by_alias=True))

    _in_a_browser(steps)
