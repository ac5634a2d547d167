"""Somebody sets the clock while a run goes on: no duration, rate or latency may be taken from it.

The machine's own clock is left alone: a small library in front of libc tells the harness, the load generator and the subject
another time of day. The control plane keeps the true one, so only what the harness itself makes of clocks is tried here; stamps
of the audit log are tried in tests/unit/core/test_clock.py.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.faults.faulted_run import SETTLE, FaultedRun, phase_began, scenario, warned
from tests.held import until_there

pytestmark = pytest.mark.cluster

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long offset(void) {
    char text[32] = {0};
    const char *path = getenv("WALL_CLOCK_OFFSET");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return 0;
    if (read(file, text, sizeof text - 1) < 0) text[0] = 0;
    close(file);
    return atol(text);
}
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int code = real(clock, now);
    if (!code && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += offset();
    return code;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec exact;
    int code = clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return code;
}
time_t time(time_t *result) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (result) *result = exact.tv_sec;
    return exact.tv_sec;
}
"""
STEPS_S = (-3600, 7200)
LOAD = {"create": {"kind": "Secret", "count": 200, "size": "500B", "rate": "max"}}


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library, built."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    place = tmp_path_factory.mktemp("shim")
    (place / "shim.c").write_text(SHIM)
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", "shim.so", "shim.c", "-ldl"], cwd=place, check=True, timeout=60
    )
    return place / "shim.so"


def _set(offset: Path, seconds: int) -> None:
    """In one step: who reads it meanwhile finds the old one or the new one."""
    new = offset.with_suffix(".new")
    new.write_text(str(seconds))
    new.replace(offset)


def test_a_clock_that_is_set_back_and_ahead_changes_no_duration(shim: Path, tmp_path: Path) -> None:
    offset = tmp_path / "offset"
    offset.write_text("0")
    environment = {"LD_PRELOAD": str(shim), "WALL_CLOCK_OFFSET": str(offset)}
    seen = [tmp_path / "seen-back", tmp_path / "seen-ahead"]
    load = [step for path in seen for step in (LOAD, until_there(path))]
    with FaultedRun(tmp_path, scenario(*load, SETTLE), **environment) as run:
        for name, step, words, path in zip(
            ("create-Secret", "create-Secret-2"), STEPS_S, ("set back", "set ahead"), seen, strict=True
        ):
            run.until(phase_began(name))
            _set(offset, int(offset.read_text()) + step)
            run.until(warned(f"the wall clock was {words}"))
            path.touch()
        code, shown = run.finish()
        run.assert_nothing_left()
    assert (code, shown.verdict) == (0, "passed"), shown.reasons
    told = [warning for warning in shown.warnings if warning.startswith("the wall clock was set")]
    assert [warning.split(" during")[0] for warning in told] == [
        "the wall clock was set back by 3,600 s",
        "the wall clock was set ahead (or the machine slept) by 7,200 s",
    ]
    record = run.record
    facts = record.run
    assert facts.ended_at is not None
    ended_ns = max(phase.ended_ns or 0 for phase in facts.phases)
    assert 0 <= (facts.ended_at - facts.started_at).total_seconds() - ended_ns / 1e9 < 60
    assert all(phase.ended_ns is not None and 0 <= phase.started_ns <= phase.ended_ns for phase in facts.phases)
    for name in ("create-Secret", "create-Secret-2"):
        phase = facts.phase(name)
        assert phase is not None
        assert phase.achieved_per_s is not None
        assert 0 < phase.achieved_per_s < 100_000
    within = "SELECT count(*) FROM {} WHERE {} NOT BETWEEN 0 AND ?"
    longest = ended_ns + 60 * 10**9
    assert record.sql(within.format("samples", "t_ns"), [longest]) == [(0,)]
    for column in ("intended_ns", "sent_ns", "done_ns", "done_ns - intended_ns"):
        assert record.sql(within.format("requests", column), [longest]) == [(0,)]
