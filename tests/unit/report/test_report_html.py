"""The page: complete without a network, safe with hostile names, and honest about what a record lacks."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import json
import os
import re
import threading
from pathlib import Path
from typing import Any

import plotly.graph_objects
import pytest

from harness.core.errors import EnvironmentFault
from harness.record.models import Verdict
from harness.record.reader import RunRecord
from harness.report import run_page as page
from tests import records, report_hostile

LOADS = {"src", "srcset", "poster", "data", "background", "action", "formaction"}


class Reader(html.parser.HTMLParser):
    """What a browser would see: elements, their text, and every attribute."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.scripts: list[tuple[dict[str, str], str]] = []
        self.words: list[str] = []
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {key: value or "" for key, value in attrs}
        self.tags.append((tag, found))
        self._open = tag
        if tag == "script":
            self.scripts.append((found, ""))

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open == "script":
            attrs, before = self.scripts[-1]
            self.scripts[-1] = (attrs, before + data)
        elif self._open != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    @property
    def payload(self) -> Any:
        (found,) = [text for attrs, text in self.scripts if attrs.get("id") == "payload"]
        return json.loads(found)


def read(record: RunRecord, verdict: Verdict) -> Reader:
    return Reader(page.write(record, verdict, record.path / "report.html").read_text())


@pytest.fixture(scope="module")
def oom(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    return read(*records.oom_killed(tmp_path_factory.mktemp("oom") / "run"))


@pytest.fixture(scope="module")
def passed(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    return read(*records.passing(tmp_path_factory.mktemp("passed") / "run"))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    return read(*report_hostile.record(tmp_path_factory.mktemp("hostile") / "run"))


def test_nothing_is_loaded_from_anywhere(passed: Reader, oom: Reader, hostile: Reader) -> None:
    for reader in (passed, oom, hostile):
        for tag, attrs in reader.tags:
            assert not LOADS & attrs.keys(), (tag, attrs)
            assert tag not in ("img", "iframe", "object", "embed", "base", "form", "video")
            assert not (tag == "link" and attrs["href"] != "data:,")
            if tag == "a":
                assert re.fullmatch(r"#[a-z]+|profiles/[^:]+", attrs["href"]), attrs


def test_only_the_two_scripts_of_the_page_may_run_and_no_request_may_leave(hostile: Reader) -> None:
    policy = next(
        attrs["content"] for tag, attrs in hostile.tags if attrs.get("http-equiv") == "Content-Security-Policy"
    )
    running = [text for attrs, text in hostile.scripts if "type" not in attrs]
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in running]
    assert len(running) == 2
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == "'none'"
    assert directives["script-src"] == " ".join(hashes)


def test_hostile_text_stays_text(hostile: Reader) -> None:
    assert len(hostile.scripts) == 3
    (payload,) = [text for attrs, text in hostile.scripts if attrs.get("id") == "payload"]
    assert not set("<>&") & set(payload)
    assert not [attrs for _, attrs in hostile.tags if any(name.startswith("on") for name in attrs)]
    assert "{{ 7*7 }}" in hostile.text
    assert report_hostile.SCRIPT in hostile.text
    assert not [word for word in hostile.words for c in word if c in "\x1b\x07\u202e"]


def test_chart_labels_hold_no_markup(hostile: Reader) -> None:
    def strings(value: Any) -> list[str]:
        if isinstance(value, dict):
            return [text for item in value.values() for text in strings(item)]
        if isinstance(value, list):
            return [text for item in value for text in strings(item)]
        return [value] if isinstance(value, str) else []

    texts = strings(hostile.payload)
    assert any("&lt;script&gt;" in text for text in texts)
    ours = {f"%{{label}}<br>%{{percentRoot:.1%}} of all {what}<extra></extra>" for what in ("samples", "bytes")}
    assert [text for text in texts if "<" in text and text not in ours] == []


def test_files_outside_the_record_are_never_linked(hostile: Reader) -> None:
    links = [attrs["href"] for tag, attrs in hostile.tags if tag == "a" and not attrs["href"].startswith("#")]
    assert sorted(links) == ["profiles/a%26b%22%27%3Ci%3E%23%3F.html", "profiles/cpu.folded", "profiles/memory.folded"]


def test_verdict_reasons_and_title_come_first(oom: Reader) -> None:
    assert oom.text.startswith(
        "passed: smoke · arm oom, 20261122-093102-m5w2z passed smoke · arm oom 20261122-093102-m5w2z"
    )
    assert oom.text.index("killed by the kernel") < oom.text.index("Expectations") < oom.text.index("Phases")
    assert "cut short by the OOM kill" in oom.text


def test_every_figure_is_one_that_plotly_accepts(passed: Reader, oom: Reader) -> None:
    def painted(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: painted(item) for key, item in value.items()}
        if isinstance(value, list):
            return [painted(item) for item in value]
        return "#123456" if isinstance(value, str) and value.startswith("--") else value

    drawn = {**oom.payload["figures"], **passed.payload["figures"]}
    assert set(drawn) == {
        "memory", "distribution", "propagation", "completeness", "writes", "rate", "request-latency", "tasks", "queue", "cpu",
        "threads", "lag", "cpu-stacks",
    } - ({"cpu-stacks"} - set(oom.payload["figures"]))  # fmt: skip
    for figure in drawn.values():
        plotly.graph_objects.Figure(painted({"data": figure["data"], "layout": figure["layout"]}))


def test_every_colour_is_defined_for_light_and_dark(passed: Reader, oom: Reader) -> None:
    style = (Path(page.__file__).parent / "templates" / "report.css").read_text()
    light, dark = (
        set(re.findall(r"(--[a-z0-9]+):", block)) for block in re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    )
    used = set(re.findall(r'"(--[a-z0-9]+)"', json.dumps([passed.payload, oom.payload])))
    assert used
    assert used <= light
    assert light == dark


def test_a_kill_is_marked_and_phases_are_numbered(oom: Reader) -> None:
    timeline = oom.payload["timeline"]
    assert timeline["marks"] == [{"x": 12.41, "text": "OOM kill 12.4 s"}]
    assert [(p["number"], p["name"], p["load"]) for p in timeline["phases"]] == [
        ("1", "start", False), ("2", "idle", False), ("3", "create-Secret", True), ("4", "end", False),
    ]  # fmt: skip
    limit = next(trace for trace in oom.payload["figures"]["memory"]["data"] if trace["name"] == "limit")
    assert limit["y"] == [160.0, 160.0]


def test_the_flame_graph_is_linked_and_the_allocation_sites_are_named(oom: Reader) -> None:
    assert ("a", {"href": "profiles/memray-start-0.html", "rel": "noreferrer"}) in oom.tags
    assert "Flame graph of the memory at its peak" in oom.text
    assert "json/decoder.py:337" in oom.text
    assert "Hottest functions by CPU" in oom.text


def test_links_are_relative_to_where_the_page_lies(tmp_path: Path) -> None:
    record, verdict = records.oom_killed(tmp_path / "runs" / "a")
    (tmp_path / "pages").mkdir()
    reader = Reader(page.write(record, verdict, tmp_path / "pages" / "x.html").read_text())
    assert "../runs/a/profiles/memray-start-0.html" in {attrs.get("href") for _, attrs in reader.tags}


def test_a_page_of_a_missing_flame_graph_does_not_link_it(tmp_path: Path) -> None:
    record, verdict = records.oom_killed(tmp_path / "run")
    (tmp_path / "run" / "profiles" / "memray-start-0.html").unlink()
    assert "Flame graph" not in read(record, verdict).text


def test_an_interrupted_record_says_why_sections_are_empty(tmp_path: Path) -> None:
    build = records.RecordBuilder(tmp_path / "run")
    gone = {"pid": 1, "started_ticks": 1, "boot_id": "another boot"}
    record = build.write(state="running", outcome=None, ended_at=None, owner=gone)
    verdict = Verdict(
        run_id=records.RUN_ID, verdict="interrupted", exit_code=130, results={}, expectations=[], reasons=["went away"]
    )
    reader = read(record, verdict)
    assert reader.payload["figures"] == {}
    assert "the harness went away before the run ended" in reader.text
    assert "The run ended before the load had sent anything." in reader.text
    assert "There are no samples: the run ended before any were taken." in reader.text
    assert "There are no results." in reader.text
    empty = [i for i, (tag, _) in enumerate(reader.tags) if tag == "figure"]
    missing = [attrs for tag, attrs in reader.tags if attrs.get("class") == "missing"]
    assert len(missing) >= len(empty)


def test_a_failed_collector_explains_its_empty_chart(tmp_path: Path) -> None:
    build = records.RecordBuilder(tmp_path / "run")
    reader = read(build.write(), records.verdict_of(build.write(), {}, "passed", 0))
    assert "The collector metrics failed: no metrics URL in the scenario." in reader.text


def test_missing_effects_are_counted_in_the_distribution(tmp_path: Path) -> None:
    build = records.RecordBuilder(tmp_path / "run")
    for i in range(4):
        build.propagate("flip", "c", 0, None if i == 3 else 0.1 + i)
    record = build.write()
    figures = read(record, records.verdict_of(record, {}, "failed", 1)).payload["figures"]
    (curve,) = figures["distribution"]["data"]
    assert curve["name"] == "flip: 4 effects, 1 never came"
    assert curve["y"][-1] == 75.0
    assert [trace["name"] for trace in figures["propagation"]["data"]] == ["flip", "flip: never"]


def test_a_reduced_series_says_so_and_keeps_its_peak(tmp_path: Path) -> None:
    build = records.RecordBuilder(tmp_path / "run")
    points = [(i / 100, 1e8) for i in range(5000)]
    points[3210] = (32.1, 7e8)
    build.samples("memory", "memory.rss", points)
    record = build.write()
    reader = read(record, records.verdict_of(record, {}, "passed", 0))
    (trace, _) = reader.payload["figures"]["memory"]["data"]
    assert max(trace["y"]) == pytest.approx(7e8 / 2**20, rel=1e-5)
    assert len(trace["y"]) <= 1200
    assert (
        "Drawn are the lowest and the highest sample of each 600th of the time (5,000 samples in the record)."
        in reader.text
    )


def test_what_is_sampled_only_when_it_changes_is_drawn_until_the_end(tmp_path: Path) -> None:
    build = records.RecordBuilder(tmp_path / "run")
    build.samples("tasks", "tasks", [(t, 51) for t in range(1, 10)])
    build.samples("tasks", "tasks", [(1, 50)], {"coroutine": "worker"})
    record = build.write()
    figures = read(record, records.verdict_of(record, {}, "passed", 0)).payload["figures"]
    (worker,) = [trace for trace in figures["tasks"]["data"] if trace["name"] == "worker"]
    assert (worker["x"], worker["y"], worker["line"]["shape"]) == ([1, 9], [50, 50], "hv")


def test_a_page_that_cannot_be_written_is_an_error_for_people(tmp_path: Path) -> None:
    record, verdict = records.passing(tmp_path / "run")
    with pytest.raises(EnvironmentFault, match=r"no/report\.html: the report cannot be written: No such file"):
        page.write(record, verdict, tmp_path / "no" / "report.html")


def test_what_is_no_file_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    record, verdict = records.passing(tmp_path / "run")
    pipe, link, target = tmp_path / "pipe", tmp_path / "link", tmp_path / "report.html"
    os.mkfifo(pipe)
    link.symlink_to(target)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # the page is larger than a pipe: reading goes on beside
    received = bytearray()

    def read() -> None:
        os.set_blocking(reader, True)
        while chunk := os.read(reader, 1 << 20):
            received.extend(chunk)

    thread = threading.Thread(target=read)
    holder = os.open(pipe, os.O_WRONLY)
    thread.start()
    page.write(record, verdict, pipe)
    os.close(holder)
    thread.join()
    os.close(reader)
    assert pipe.is_fifo()
    assert received.endswith(b"</html>")
    page.write(record, verdict, link)
    assert link.is_symlink()
    assert target.is_file()


def test_each_kind_of_profile_has_its_flame_graph_and_a_server_its_links(tmp_path: Path) -> None:
    build = records.RecordBuilder(tmp_path / "run")
    address = "http://pyroscope:4040/?query=memory%7Brun_id%3D%22r%22%7D&from=1&until=2"
    kind = "memory:inuse_space:bytes:space:bytes"
    build.event("pyroscope", 1, server="http://pyroscope:4040", links={kind: address, "other": "javascript:alert(1)"})
    record = build.write()
    for name in ("cpu", "memory", "goroutines"):
        (record.path / "profiles").mkdir(exist_ok=True)
        (record.path / "profiles" / f"{name}.folded").write_text("main;hold 300\nmain;rest 100\n")
    reader = read(record, records.verdict_of(record, {}, "passed", 0))
    figures = reader.payload["figures"]
    assert {"cpu-stacks", "memory-stacks", "goroutine-stacks"} <= set(figures)
    assert "allocs-stacks" not in figures
    (boxes,) = figures["memory-stacks"]["data"]
    assert dict(zip(boxes["labels"], boxes["values"], strict=True)) == {
        "all": 400,
        "main": 400,
        "hold": 300,
        "rest": 100,
    }
    text = page.render(record, records.verdict_of(record, {}, "passed", 0), tmp_path / "report.html")
    assert f'href="{address.replace("&", "&amp;")}"' in text
    assert 'href="javascript' not in text
