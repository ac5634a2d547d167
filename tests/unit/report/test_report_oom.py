"""The OOM black box, made from made-up records alone."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

from harness.analysis.blackbox import read
from harness.record.models import EndingFacts
from harness.record.reader import RunRecord
from harness.report import oom, profiles, run_page
from tests.records import MIB, SUBJECT, RecordBuilder, ns, oom_killed, passing

_NASTY = 'x|y`<script>alert(1)</script>[a](javascript:b)"'


class _Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str | None] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("href", "src")]


def test_the_page_tells_what_was_held_when_the_kill_came(tmp_path: Path) -> None:
    record, verdict = oom_killed(tmp_path / "run")
    page = tmp_path / "run" / "report.html"
    assert "oom.html" not in _Tags(run_page.render(record, verdict, page)).links
    assert [path.name for path in oom.write(record)] == ["oom.html", "oom.md"]
    assert "oom.html" in _Tags(run_page.render(record, verdict, page)).links
    text = (tmp_path / "run" / "oom.md").read_text()
    box = read(RunRecord(tmp_path / "run"))
    assert box is not None
    for words in (
        "out of memory", "killed by the kernel: the cgroup reached its limit of 160.0 MiB", "- **limit**: 160.0 MiB",
        "12.4 s after the start of the run, in create-Secret", "- **exit code**: 137", "| 58.2 MiB | 52% | 211,000 | decode |",
        "## The last moments",
        "[Flame graph of the memory at its peak](profiles/memray-start-0.html)", "| oom\\_kill | \\[0, 1\\] |",
    ):  # fmt: skip
        assert words in text, words
    # only what was answered before the kill was loaded: of 2,230 requests at 300/s from 5.0 s on those until 12.41 s
    (loaded,) = box.objects
    done = record.sql("SELECT count(*) FROM requests WHERE done_ns <= ?", [ns(12.41)])[0][0]
    assert (loaded.kind, loaded.created, loaded.bytes) == ("Secret", done, done * 33000)
    assert done < 2230
    assert loaded.under_way > 0
    assert len(box.moments) == 12
    assert box.moments[-1].before_s < 1
    assert all(moment.before_s >= 0 for moment in box.moments)
    assert box.moments[-1].values["tasks"] == 51
    assert dict(box.missing) == {
        "heap": "it was never read: that takes a forced collection, in a subject with the harness's agent"
    }


def test_the_page_stands_alone(tmp_path: Path) -> None:
    record, _ = oom_killed(tmp_path / "run")
    oom.write(record)
    page = _Tags((tmp_path / "run" / "oom.html").read_text())
    assert "script" not in page.tags
    assert {link for link in page.links if link} == {"data:,", "profiles/memray-start-0.html"}


def test_without_a_profiler_the_reason_stands_in_its_place(tmp_path: Path) -> None:
    record = RecordBuilder(tmp_path / "run", run_id="20260101-000000-aaaaa")
    record.phase("idle", "idle", 1.0, 3.0)
    record.samples("memory", "memory.rss", [(1.0, 10.0 * MIB), (2.0, 20.0 * MIB), (2.9, 90.0 * MIB)])
    opened = record.write(
        ending=EndingFacts(kind="oom_node", exit_code=137, t_ns=ns(2.5), sentence=_NASTY, evidence={_NASTY: _NASTY}),
        subject=SUBJECT.model_copy(update={"memory_limit_bytes": None}),
    )
    oom.write(opened)
    text = (tmp_path / "run" / "oom.md").read_text()
    assert "- allocation sites: no memray ran; run it again with --memray launch" in text
    assert "- **limit**: none" in text
    assert "- **loaded**: nothing yet" in text
    assert "20.0 MiB, 0.50 s before" in text, "what came after the kill is not its last sample"
    assert not re.search(r"(?<!\\)[<`\[|](?:script|a|y)", text), "text of a run may not become Markdown or HTML"
    assert "script" not in _Tags((tmp_path / "run" / "oom.html").read_text()).tags


def test_a_subject_that_was_not_killed_has_no_page(tmp_path: Path) -> None:
    record, _ = passing(tmp_path / "run")
    assert read(record) is None
    assert oom.write(record) == []
    assert not (tmp_path / "run" / "oom.html").exists()


def test_the_way_to_an_allocation_ends_in_code_that_is_the_readers_own() -> None:
    library = [f"f{number} (/venv/lib/python3.11/site-packages/kubernetes/a.py:{number})" for number in range(6)]
    own = "main (controller.py:63)"
    near = "f0 (kubernetes/a.py:0) ← f1 (kubernetes/a.py:1) ← f2 (kubernetes/a.py:2) ← f3 (kubernetes/a.py:3)"
    assert profiles.called_from([*library, own, "<module> (controller.py:70)"]) == f"{near} ← … ← {own}"
    assert profiles.called_from([*library[:4], own]) == f"{near} ← {own}"
    assert profiles.called_from([library[0], own, *library[1:]]).startswith(f"f0 (kubernetes/a.py:0) ← {own} ← f1")
    assert profiles.called_from([*library, "x (<string>:1)", "y (<frozen runpy>:1)"]) == near
    assert profiles.called_from([]) == ""


def test_a_subject_that_hung_at_its_limit_has_a_page_that_speaks_of_no_kill(tmp_path: Path) -> None:
    record, _ = oom_killed(tmp_path / "run")
    assert record.run.ending is not None
    counters = {"cgroup": {"before": {"peak_bytes": 1}, "after": {"peak_bytes": 160 * MIB}}}
    hung = record.run.ending.model_copy(
        update={"kind": "thrashing", "sentence": "stopped while thrashing: 30 s", "evidence": counters}
    )
    (tmp_path / "run" / "run.json").write_text(record.run.model_copy(update={"ending": hung}).model_dump_json())
    events = tmp_path / "run" / "events.jsonl"
    kept = [line for line in events.read_text().splitlines(keepends=True) if '"oom_kill"' not in line]
    events.write_text("".join(kept))
    opened = RunRecord(tmp_path / "run")
    box = read(opened)
    assert box is not None
    assert (box.hung, box.kills, box.t_s) == (True, 0, hung.t_ns / 1e9)
    assert [path.name for path in oom.write(opened)] == ["oom.html", "oom.md"]
    text = (tmp_path / "run" / "oom.md").read_text()
    assert "stopped while thrashing" in text
    assert "- **stopped**: 12.4 s after the start of the run" in text
    assert "| 58.2 MiB | 52% | 211,000 | decode |" in text
    assert "## Objects loaded when the stop came" in text
    assert "- **highest charge**: 160.0 MiB" in text, "there is no event of a kill to take it from"
    assert not re.search(r"\bkill(ed)?\b", text.replace("-at-kill", "")), text
