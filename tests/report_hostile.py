"""A record whose every free text tries to become code, markup, a terminal command or a layout accident."""

from __future__ import annotations

from pathlib import Path

from harness.record.models import CollectorFacts, Verdict
from harness.record.reader import RunRecord
from tests import records

SCRIPT = "</script><script>window.pwned=1</script><img src=x onerror=window.pwned=1>"
LINK = "<a href=\"javascript:window.pwned=1\">click</a><b onmouseover='window.pwned=1'>b</b>"
ESCAPE = "\x1b[2J\x1b]0;owned\x07\u202egnp.exe"


def record(directory: Path) -> tuple[RunRecord, Verdict]:
    """The record and its verdict."""
    directory.mkdir(parents=True)
    build = records.RecordBuilder(directory, scenario=f"name{SCRIPT}", arm=f"arm{LINK}{ESCAPE}")
    build.phase(f"create{SCRIPT}", "create", 0.0, 5.0, kind=SCRIPT, requested=4, done=4, failed=1, requested_per_s=2.0)
    build.phase(f"flip{LINK}", "flip", 5.0, 8.0, kind=LINK)
    times = [0.5 * i for i in range(16)]
    build.samples("memory", "memory.rss", [(t, 1e8 + t) for t in times])
    for text in (SCRIPT, LINK, ESCAPE, "--bad", "%{x}", "{{ 7*7 }}"):
        build.samples("tasks", "tasks", [(t, 5) for t in times], {"coroutine": text})
        build.samples("audit", "writes.total", [(5, 9)], {"kind": text, "verb": "patch", "subresource": text})
    for i in range(4):
        build.request(f"create{SCRIPT}", i, i + 0.2, kind=SCRIPT, name=LINK)
    build.request(f"create{SCRIPT}", 4, 4.5, kind=SCRIPT, status=500, error=f"{SCRIPT}{ESCAPE}{LINK}")
    for i in range(5):
        build.propagate(f"p{SCRIPT}", SCRIPT, 5, 5.5 + i if i < 4 else None, name=f"{LINK}{i}")
    build.event("warning", 3, message=f"{SCRIPT}{ESCAPE}", **{SCRIPT: LINK})
    outside = directory.parent / "outside.html"
    outside.write_text("not of this record")
    site = {"function": SCRIPT, "file": LINK, "line": 1, "bytes": 5, "allocations": 1, "stack": [SCRIPT, LINK]}
    build.event(
        "memray",
        4,
        top=[site, {"bytes": None}, "x"],
        left=SCRIPT,
        flamegraph="../outside.html",
        flamegraph_at_kill=str(outside),
    )
    for t in (-1, 9):  # before the load, and once it is over
        row = {"sort": SCRIPT, "name": f"{LINK}{ESCAPE}", "state": None, "frame": SCRIPT, "count": 1 + t + 1}
        build.event("census", t, rows=[row], reasons={"x": f"{SCRIPT}{LINK}"})
    build.event("pyroscope", 9, server=SCRIPT, links={SCRIPT: f"https://x/{SCRIPT}", "k": "javascript:alert(1)"})
    opened = build.write(
        collectors=[CollectorFacts(name=SCRIPT, state="failed", reason=f"{LINK}{ESCAPE}")],
        cluster={"provider": SCRIPT, LINK: {"nested": LINK}},
        versions={"harness": SCRIPT},
    )
    (directory / "profiles" / "cpu.folded").write_text(
        f"main;{SCRIPT.replace(';', ' ')} 3\nmain;{LINK} 4\nmain;cut off 1x"
    )
    (directory / "profiles" / "memory.folded").write_text(f"main;{SCRIPT.replace(';', ' ')} 3\nmain;{LINK} 4\n")
    (directory / "profiles" / "a&b\"'<i>#?.html").write_text("x")
    verdict = records.verdict_of(
        opened, {"memory.rss.peak": 1e8, "memory.heap.settled": f"{SCRIPT}{ESCAPE}"}, "failed", 1,
        [(f"latency.x.p99 < 5s {SCRIPT}", None, None, f"{LINK}{ESCAPE}")], [f"{SCRIPT}{ESCAPE}", LINK], [LINK],
    )  # fmt: skip
    return opened, verdict
