"""Which address shows what. Everything is read, nothing is written, and only GET and HEAD are answered."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiohttp import web

from harness.analysis.history import document
from harness.core.errors import HarnessError, UsageError
from harness.gate import stored
from harness.gate.compare import compare
from harness.record.comparison import Comparison
from harness.record.history import History
from harness.record.reader import RunRecord
from harness.report import compare_page, history_page, html
from harness.report import history_terminal as history_words
from harness.report.figures import Chart, Timeline
from harness.web import guard, listing, pages, reports
from harness.web.cache import PageCache, tag
from harness.web.library import ExperimentRow, Library, NotServed, RunRow, Stamp
from harness.web.live import Watched

TICK_S = 1.0
MOST_VIEWERS = 32
"""Streams of running runs at once."""
_RUN_COLUMNS = ("started_at", "scenario", "state", "seconds", "peak_bytes", "kills")
_EXPERIMENT_COLUMNS = ("started_at", "scenario", "kind", "state", "runs", "seconds")
_SPANS = {"7": "a week", "30": "30 days", "90": "90 days", "365": "a year"}
_LEFT = ("run.json", "verdict.json", "events.jsonl", "subject.log")
"""What is offered of a record that cannot be shown."""
_TEXTS = (".json", ".jsonl", ".md", ".log", ".1", ".txt", ".folded")


class Site:
    """The handlers, and what they share."""

    def __init__(self, library: Library, history: Path) -> None:
        self.library = library
        self.history_dir = history
        self.cache = PageCache()
        self.watched = Watched()
        self.closing = asyncio.Event()
        """Set when the server ends: streams end by it, for a browser would keep them open."""

    def application(self) -> web.Application:
        """The site as an application of aiohttp."""
        app = web.Application(middlewares=[guard.refuse_strangers, guard.tell_errors])
        app.router.add_get("/", self.runs)
        app.router.add_get("/experiments/", self.experiments)
        app.router.add_get("/experiments/{name}/", self.experiment)
        app.router.add_get("/runs/{name}/", self.run)
        app.router.add_get("/runs/{name}/live", self.stream)
        app.router.add_get("/runs/{name}/{file:.+}", self.file)
        app.router.add_get("/compare", self.compare)
        app.router.add_get("/history", self.history)
        app.router.add_get("/assets/{name}", self.asset)
        return app

    async def runs(self, request: web.Request) -> web.Response:
        """All runs, filtered and sorted."""
        rows = await asyncio.to_thread(self.library.runs)
        view: listing.View[RunRow] = listing.view(
            rows, request.query, exact=("state", "scenario", "experiment"), columns=_RUN_COLUMNS
        )
        names = {"state": {row.state for row in rows}, "scenario": {row.scenario for row in rows if row.scenario}}
        return guard.page(
            pages.render("runs.html.j2", here="runs", view=view, folder=str(self.library.given),
                         choices={name: sorted(found) for name, found in names.items()})
        )  # fmt: skip

    async def experiments(self, request: web.Request) -> web.Response:
        """All experiments, filtered and sorted."""
        rows = await asyncio.to_thread(self.library.experiments)
        view: listing.View[ExperimentRow] = listing.view(
            rows, request.query, exact=("state", "kind", "scenario"), columns=_EXPERIMENT_COLUMNS
        )
        names = {
            "state": {row.state for row in rows}, "kind": {row.kind for row in rows if row.kind},
            "scenario": {row.scenario for row in rows if row.scenario},
        }  # fmt: skip
        return guard.page(
            pages.render("experiments.html.j2", here="experiments", view=view, folder=str(self.library.given),
                         choices={name: sorted(found) for name, found in names.items()})
        )  # fmt: skip

    async def run(self, request: web.Request) -> web.Response:
        """One run: its report, how it stands while it goes on, or why it cannot be shown."""
        name = request.match_info["name"]
        row = await asyncio.to_thread(self.library.run_row, name)
        if row.state == "running" and "report" not in request.query:
            return guard.page(pages.render("live.html.j2", here="runs", row=row))
        folder = self.library.run_path(name)
        try:
            make = functools.partial(reports.run_page_of, folder, row.experiment or None)
            return await self._kept(request, ("run", name), reports.run_stamp(folder), make)
        except HarnessError as error:
            left = [each for each in _LEFT if (folder / each).is_file()]
            return guard.page(
                pages.render("broken.html.j2", here="runs", row=row, why=str(error), left=left), status=500
            )

    async def experiment(self, request: web.Request) -> web.Response:
        """One experiment."""
        name = request.match_info["name"]
        folder = await asyncio.to_thread(self.library.experiment_path, name)
        make = functools.partial(reports.experiment_page_of, folder, self.library)
        return await self._kept(request, ("experiment", name), reports.experiment_stamp(folder, self.library), make)

    async def file(self, request: web.Request) -> web.StreamResponse:
        """A file of a record: profiles, logs, the facts. Pages among them run as strangers."""
        name, inside = request.match_info["name"], request.match_info["file"]
        if inside == "report.html":  # where pages that lie in the record link to
            raise web.HTTPFound(pages.run_address(name))
        path = await asyncio.to_thread(self.library.file, name, inside)
        headers = {"Content-Security-Policy": pages.FILE_POLICY, "Cache-Control": "no-cache"}
        if path.suffix == ".html":
            headers["Content-Type"] = "text/html; charset=utf-8"
        elif path.suffix in _TEXTS:
            headers["Content-Type"] = "text/plain; charset=utf-8"
        else:
            headers |= {"Content-Type": "application/octet-stream", "Content-Disposition": "attachment"}
        return web.FileResponse(path, headers=headers)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: how a run stands, each second, until it ends."""
        name = request.match_info["name"]
        folder = await asyncio.to_thread(self.library.run_path, name)
        if self.watched.viewers >= MOST_VIEWERS:
            raise web.HTTPServiceUnavailable(text=f"{MOST_VIEWERS} look on already")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        self.watched.enter(name, folder)
        try:
            await response.prepare(request)
            since: dict[str, int] = {}
            while not self.closing.is_set():
                try:
                    tail = await self.watched.read(name)
                except UsageError as error:
                    await _send(response, "broken", {"why": str(error)})
                    break
                # no await between the two: another viewer's read would come in between
                await _send(response, "status", tail.status() | {"points": tail.points(since)})
                if tail.state != "running":
                    break
                await self._pause()
        except (ConnectionError, asyncio.CancelledError):
            pass  # the viewer went away
        finally:
            self.watched.leave(name)
        return response

    async def compare(self, request: web.Request) -> web.Response:
        """Two runs, or arms of experiments, side by side; without two a form."""
        picked = request.query.getall("pick", [])
        names = [request.query.get("a", ""), request.query.get("b", "")]
        names = [*picked, "", ""][:2] if picked else names
        across = request.query.get("across") == "1"
        problem = f"{len(picked)} are chosen: two can be compared" if picked and len(picked) != 2 else ""
        found: Comparison | None = None
        charts: list[Chart] = []
        if all(names) and not problem:
            try:
                found, charts = await asyncio.to_thread(self._compared, names[0], names[1], across)
            except HarnessError as error:
                problem = str(error)
        known = await asyncio.to_thread(self._names)
        return guard.page(
            pages.render(
                "compare.html.j2", here="compare", a=names[0], b=names[1], across=across, problem=problem, known=known,
                found=found, charts=charts, payload=html.payload(Timeline(0.0, [], []), charts),
                repeats=found and compare_page.REPEATS[found.repeats],
                tables=found and [compare_page.environment(found), compare_page.metrics(found), compare_page.missing(found)],
            )
        )  # fmt: skip

    async def history(self, request: web.Request) -> web.Response:
        """A metric over commits; without one, which series there are."""
        metric, scenario, days = (request.query.get(name) or None for name in ("metric", "scenario", "days"))
        since = datetime.now(UTC) - timedelta(days=int(days)) if days in _SPANS else None
        content = await asyncio.to_thread(self._history, metric, scenario, since)
        spans = {"": "all of it", **_SPANS}
        return guard.page(
            pages.render("history.html.j2", here="history", metric=metric,
                         scenario=scenario, days=days if days in _SPANS else None, spans=spans, **content)
        )  # fmt: skip

    async def asset(self, request: web.Request) -> web.Response:
        """A style sheet or script of the site."""
        found = await asyncio.to_thread(pages.asset, request.match_info["name"])
        if found is None:
            raise NotServed("there is no such file")
        headers = {"Cache-Control": "public, max-age=31536000, immutable"}
        return web.Response(body=found.body, content_type=found.content_type, charset="utf-8", headers=headers)

    async def _kept(
        self, request: web.Request, key: tuple[str, str], stamp: Stamp, make: Callable[[], str]
    ) -> web.Response:
        """A page of the cache, or the word that the browser has it already."""
        etag = tag(key, stamp)
        headers = {"Content-Security-Policy": pages.REPORT_POLICY, "Cache-Control": "no-cache"}
        if any(each.value == etag for each in request.if_none_match or ()):
            answer = web.Response(status=304, headers=headers)
        else:
            body = await self.cache.get(key, stamp, make)
            answer = web.Response(body=body, content_type="text/html", charset="utf-8", headers=headers)
        answer.etag = etag
        return answer

    async def _pause(self) -> None:
        try:
            await asyncio.wait_for(self.closing.wait(), TICK_S)
        except TimeoutError:
            return

    def _compared(self, a: str, b: str, across: bool) -> tuple[Comparison, list[Chart]]:
        sides = [stored.find(self.library.find(name), self.library.root) for name in (a, b)]
        named = [replace(side.compared, name=name) for side, name in zip(sides, (a, b), strict=True)]
        found = compare(named[0], named[1], stored.pairs_between(sides[0], sides[1]), across_machines=across)
        first: list[RunRecord] = [side.compared.sides[0].record for side in sides]
        return found, compare_page.charts(first[0], first[1])

    def _names(self) -> list[str]:
        return [row.id for row in self.library.runs() if row.state != "unreadable"][:500]

    def _history(self, metric: str | None, scenario: str | None, since: datetime | None) -> dict[str, object]:
        history = History(self.history_dir)
        found = document(history, metric, since=since, scenario=scenario)
        charts = [history_page.chart(series, f"series-{number}") for number, series in enumerate(found.series)]
        changes = [
            (
                history_words.title_of(series),
                history_words.place_of(series),
                history_words.sentence(change, series.unit),
            )
            for series in found.series
            for change in series.changes
        ]
        return {
            "document": found, "metrics": history.metrics(), "changes": changes, "advisory": history_words.ADVISORY,
            "scenarios": sorted({series.scenario for series in (found if scenario is None else document(history, None)).series}),
            "titles": [(history_words.title_of(series), history_words.place_of(series), history_words.verdicts(series.points),
                        len(series.points)) for series in found.series],
            "charts": charts if metric is not None else [],
            "payload": html.payload(Timeline(0.0, [], []), charts if metric is not None else []),
        }  # fmt: skip


async def _send(response: web.StreamResponse, event: str, data: object) -> None:
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    await response.write(f"event: {event}\ndata: {text}\n\n".encode())
