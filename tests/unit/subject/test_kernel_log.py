"""OOM kills in the kernel's log; the lines are real ones of Linux 6.18, shortened in the paths."""

from __future__ import annotations

from pathlib import Path

from harness.subject.kernel_log import KernelLog, OomKill, parse

AT_LIMIT = (
    "6,1234,2495893269,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,"
    "oom_memcg=/x/harness-r/subject-0,task_memcg=/x/harness-r/subject-0,task=python3,pid=26291,uid=0\n"
)
BY_NODE = (
    "6,1235,2495893270,-;oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,"
    "global_oom,task_memcg=/x/harness-r/subject-0,task=a,b,pid=26292,uid=1000\n"
)


def test_lines() -> None:
    own = "/x/harness-r/subject-0"
    assert parse(AT_LIMIT) == OomKill(own, own)
    assert parse(BY_NODE) == OomKill(None, own)
    assert parse("6,1,1,-;Memory cgroup out of memory: Killed process 26291 (python3)") is None


def test_an_unreadable_log_is_empty(tmp_path: Path) -> None:
    log = KernelLog(tmp_path / "kmsg")
    assert log.oom_kills(Path("/sys/fs/cgroup/harness-r/subject-0")) == []
    log.close()


def test_only_what_is_new_and_of_this_cgroup(tmp_path: Path) -> None:
    """In a plain file that stands for /dev/kmsg."""
    kmsg = tmp_path / "kmsg"
    kmsg.write_text(AT_LIMIT)
    log = KernelLog(kmsg)
    with kmsg.open("a") as file:
        file.write(BY_NODE)
    assert log.oom_kills(Path("/mnt/harness-r/subject-0")) == [OomKill(None, "/x/harness-r/subject-0")]
    with kmsg.open("a") as file:
        file.write(AT_LIMIT)
    assert log.oom_kills(Path("/mnt/harness-r/subject-1")) == []
    log.close()
    log.close()
