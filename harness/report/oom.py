"""The OOM black box, from the record alone: a page, and the same as Markdown, of what a subject held that died of its memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from harness.analysis.blackbox import BlackBox, read
from harness.core.units import format_value
from harness.record.reader import RunRecord
from harness.record.writer import write_atomically
from harness.report import profiles
from harness.report.html import plain
from harness.report.profiles import Link
from harness.report.results import NONE, clean, title_of
from harness.report.tables import Facts, Table

PAGE, TEXT = profiles.BLACK_BOX, "oom.md"
_SITES = 15


def write(record: RunRecord) -> list[Path]:
    """Write `oom.html` and `oom.md` into the record where the subject died of its memory; the files written."""
    box = read(record)
    if box is None:
        return []
    page, text = record.path / PAGE, record.path / TEXT
    write_atomically(page, html(record, box))
    write_atomically(text, markdown(record, box))
    return [page, text]


def html(record: RunRecord, box: BlackBox) -> str:
    """The page as text. It has no script, and asks for nothing."""
    return plain(
        "oom.html.j2", title=title_of(record.run), run_id=clean(record.run.run_id), sentence=clean(box.sentence),
        key=key_facts(record, box), tables=tables(box), missing=_missing(box), links=links(record),
    )  # fmt: skip


def markdown(record: RunRecord, box: BlackBox) -> str:
    """The same for a terminal, a chat or an issue."""
    lines = [f"# {_escape(title_of(record.run))}: out of memory", "", _escape(clean(box.sentence)) + ".", ""]
    lines += [f"- **{name}**: {_escape(value)}" for name, value in key_facts(record, box)]
    for table in tables(box):
        lines += ["", f"## {_escape(table.title)}", "", *([_escape(table.note), ""] if table.note else [])]
        lines += [
            _row(table.headers),
            _row(["---:" if i in table.numbers else "---" for i in range(len(table.headers))]),
        ]
        lines += [_row([_escape(cell) for cell in row]) for row in table.rows]
    if box.missing:
        lines += ["", "## What the record does not tell", ""]
        lines += [f"- {_escape(name)}: {_escape(reason)}" for name, reason in _missing(box)]
    lines += [
        "",
        "## More",
        "",
        *(f"- [{_escape(link.text)}]({link.href}) ({link.size})" for link in links(record)),
        "",
    ]
    return "\n".join(lines)


def key_facts(record: RunRecord, box: BlackBox) -> Facts:
    """What a reader wants first."""
    limit = format_value(box.limit_bytes, "bytes") if box.limit_bytes else "none"
    facts = [
        ("run", clean(record.run.run_id)),
        (
            "stopped" if box.hung else "killed",
            f"{box.t_s:.1f} s after the start of the run" + (f", in {clean(box.phase)}" if box.phase else ""),
        ),
        ("limit", limit),
        ("kills", f"{box.kills}"),
    ]
    if box.peak_bytes is not None:
        facts.append(("highest charge", format_value(box.peak_bytes, "bytes")))
    if box.exit_code is not None:
        facts.append(("exit code", str(box.exit_code)))
    if box.moments:
        last = box.moments[-1]
        for name in ("memory.cgroup", "memory.rss", "tasks"):
            value = last.values.get(name)
            if value is not None:
                text = format_value(value, "bytes" if name.startswith("memory") else "count")
                facts.append((f"last {name}", f"{text}, {last.before_s:.2f} s before"))
    loaded = ", ".join(f"{item.created:,} {clean(item.kind)}" for item in box.objects if item.created)
    facts.append(("loaded", loaded or "nothing yet"))
    if box.profile is not None:
        facts.append(("memray's high-water mark", format_value(float(box.profile.get("peak_bytes") or 0), "bytes")))
        if box.profile_window is not None:
            facts.append(("memray saw only", box.profile_window))
    return facts


def tables(box: BlackBox) -> list[Table]:
    """Everything else, in tables; those without rows are left out."""
    found = [_sites(box), _objects(box), _moments(box), _heap(box), _tasks(box), _evidence(box)]
    return [table for table in found if table.rows]


def _sites(box: BlackBox) -> Table:
    rows = []
    total = float(box.profile.get("peak_bytes") or 0) if box.profile else 0.0
    top = box.profile.get("top") if box.profile else None
    for site in (top if isinstance(top, list) else [])[:_SITES]:
        held = float(site.get("bytes") or 0)
        stack = site["stack"][1:] if isinstance(site.get("stack"), list) else []
        rows.append(
            [
                format_value(held, "bytes"), f"{held / total:.0%}" if total else NONE, f"{int(site.get('allocations') or 0):,}",
                clean(site.get("function", "?")),
                profiles.short_path(f"{site.get('file', '')}:{site.get('line', '')}"), profiles.called_from(stack),
            ]
        )  # fmt: skip
    headers = ["held", "share", "allocations", "function", "place", "called from"]
    return Table(
        "Allocation sites at the high-water mark", headers, rows, (0, 1, 2), "By memray: the innermost Python frame."
    )


def _objects(box: BlackBox) -> Table:
    rows = [
        [
            clean(item.kind), f"{item.created:,}", format_value(item.bytes, "bytes"), f"{item.under_way:,}",
            NONE if item.alive is None else f"{item.alive:,}",
        ]
        for item in box.objects
    ]  # fmt: skip
    headers = ["kind", "created by the load", "bytes sent", "under way", "alive, by watch"]
    return Table(f"Objects loaded when the {box.end} came", headers, rows, (1, 2, 3, 4))


def _moments(box: BlackBox) -> Table:
    names = list(box.moments[0].values) if box.moments else []
    rows = [
        [f"{-moment.before_s:.2f} s", *(_cell(name, moment.values[name]) for name in names)] for moment in box.moments
    ]
    return Table("The last moments", [f"before the {box.end}", *names], rows, tuple(range(len(names) + 1)))


def _cell(name: str, value: float | None) -> str:
    return NONE if value is None else format_value(value, "bytes" if name.startswith("memory") else "count")


def _heap(box: BlackBox) -> Table:
    rows = [[clean(part), format_value(value, "bytes")] for part, value in sorted(box.heap.items())]
    when = "" if box.heap_before_s is None else f"Read {box.heap_before_s:.1f} s before the {box.end}."
    return Table("The heap, as last read", ["part", "in use"], rows, (1,), when)


def _tasks(box: BlackBox) -> Table:
    rows = [[clean(name), f"{count:,}"] for name, count in box.tasks]
    return Table("Tasks by coroutine", ["coroutine", "tasks"], rows, (1,))


def _evidence(box: BlackBox) -> Table:
    rows = [[clean(key), clean(json.dumps(value))] for key, value in box.evidence.items()]
    return Table(f"The evidence of the {box.end}", ["what", "value"], rows)


def _missing(box: BlackBox) -> Facts:
    return [(clean(name), clean(reason)) for name, reason in box.missing.items()]


def links(record: RunRecord) -> list[Link]:
    """Flame graphs first, then the report."""
    found = profiles.flame_graphs(record, record.path / PAGE)
    report = record.path / "report.html"
    if report.is_file():
        found.append(Link("report.html", "The report of the run", format_value(report.stat().st_size, "bytes")))
    return found


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escape(text: str) -> str:
    """Text from a run as Markdown that says the same and does nothing: no links, no HTML, no cells of its own."""
    for character in "\\`*_[]<>|#":
        text = text.replace(character, f"\\{character}")
    return text
