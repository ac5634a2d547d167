"""Telling the ways of ending apart, and thrashing. Pure: works from counters that others have read.

Exit code 137 alone is never taken for an OOM kill: anybody can send SIGKILL.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass

from harness.core.handles import JSON, Ending, EndKind
from harness.core.units import format_value
from harness.process.child import Exit, signal_name
from harness.subject.cgroups import Counters
from harness.subject.kernel_log import OomKill

KILLED = 128 + signal.SIGKILL
LIMIT_SLACK_BYTES = 2**20
"""The kernel charges memory in batches of pages per CPU: the peak seen may stay this far below the limit."""
THRASH_S = 30.0
"""At the limit without progress for longer than this is thrashing."""
NEAR_LIMIT = 0.95
"""Share of the limit from which usage counts as at the limit: reclaim keeps it a little below."""
WHAT_SIGNALS_MEAN: dict[int, str] = {
    signal.SIGSEGV: "a segmentation fault",
    signal.SIGABRT: "an abort",
    signal.SIGTRAP: "a trap, as a debugger's breakpoint leaves behind",
    signal.SIGBUS: "a bus error",
    signal.SIGILL: "an illegal instruction",
    signal.SIGFPE: "an arithmetic fault",
}


@dataclass(frozen=True, slots=True)
class Witness:
    """What was seen from the start of an incarnation to its end. Each pair is (at the start, at the end)."""

    cgroup: tuple[Counters, Counters] | None = None
    node_oom_kills: tuple[int, int] | None = None
    """`oom_kill` of /proc/vmstat: every OOM kill on this machine."""
    log: Sequence[OomKill] = ()
    """Kills of processes in the cgroup that the kernel's log tells of; empty where it cannot be read."""

    @property
    def kills(self) -> int:
        """OOM kills of the subject's own processes."""
        return self.cgroup[1].oom_kills - self.cgroup[0].oom_kills if self.cgroup else 0

    @property
    def hits(self) -> int:
        """How often the limit was reached."""
        return self.cgroup[1].limit_hits - self.cgroup[0].limit_hits if self.cgroup else 0

    @property
    def node_kills(self) -> int:
        """OOM kills on the whole machine."""
        return self.node_oom_kills[1] - self.node_oom_kills[0] if self.node_oom_kills else 0

    @property
    def limit_reached(self) -> bool:
        """Evidence that the subject's own limit, not the node's memory, was the reason for a kill.

        The kernel's log names the limit. Else: v2 counts failures of this very limit; v1 does not, there the limit must
        have been hit, and the peak be at it.
        """
        if self.cgroup is None:
            return False
        if self.log:
            return self.log[-1].limit == self.log[-1].victim
        before, after = self.cgroup
        if before.limit_ooms is not None and after.limit_ooms is not None:
            return after.limit_ooms > before.limit_ooms
        at_limit = after.peak_bytes is None or after.peak_bytes >= after.limit_bytes - LIMIT_SLACK_BYTES
        return self.hits > 0 and at_limit

    def as_json(self) -> dict[str, JSON]:
        """For `Ending.evidence`."""
        evidence: dict[str, JSON] = {}
        if self.cgroup:
            evidence["cgroup"] = {"before": self.cgroup[0].as_json(), "after": self.cgroup[1].as_json()}
        if self.node_oom_kills:
            evidence["node_oom_kills"] = {"before": self.node_oom_kills[0], "after": self.node_oom_kills[1]}
        if self.log:
            evidence["kernel_log"] = [{"limit_of": kill.limit, "killed_in": kill.victim} for kill in self.log]
        return evidence


def classify(exit_: Exit, witness: Witness, *, t_ns: int, thrashed_s: float = 0.0) -> Ending:
    """How the subject ended. `thrashed_s`: how long it had been thrashing when it was stopped.

    `t_ns` is the run time of the end. Signals that the harness sent before are in `exit_.sent`.
    """
    kind, sentence = _judge(exit_, witness, thrashed_s)
    evidence = {
        "exit_code": exit_.code, "signal": exit_.signal, "signals_sent": list(exit_.sent),
        "max_rss_bytes": exit_.max_rss_bytes, "cpu_s": exit_.cpu_s, **witness.as_json(),
    }  # fmt: skip
    return Ending(kind, exit_.code, t_ns, sentence, evidence)


def _judge(exit_: Exit, witness: Witness, thrashed_s: float) -> tuple[EndKind, str]:
    killed = exit_.code == KILLED and signal.SIGKILL not in exit_.sent
    if not exit_.supervised:
        return "crash", "ended by SIGKILL because its supervisor was killed"
    if killed and witness.kills > 0:
        if witness.limit_reached:
            return "oom_limit", f"OOM-killed at its memory limit: {_limit_evidence(witness)}"
        return "oom_node", f"OOM-killed by the node or an enclosing limit, not by its own: {_limit_evidence(witness)}"
    if killed and witness.cgroup is None and witness.node_kills > 0:
        grown = f"{_times(witness.node_kills, 'OOM kill')} on this machine meanwhile"
        return "oom_node", f"OOM-killed by the node: SIGKILL, not by the harness, and {grown} (no memory limit was set)"
    if thrashed_s >= THRASH_S:
        return "thrashing", (
            f"stopped while thrashing: {thrashed_s:.0f} s at its memory limit without progress or a kill"
            + (f" ({_limit_evidence(witness)})" if witness.cgroup else "")
        )
    if exit_.sent:
        names = " and ".join(signal_name(number) for number in dict.fromkeys(exit_.sent))
        return "our_signal", f"ended by the harness with {names} ({exit_}){_children(witness)}"
    if exit_.code == 0:
        return "clean", f"ended by itself with exit code 0{_children(witness)}"
    return "crash", _crash(exit_, witness) + _children(witness)


def _crash(exit_: Exit, witness: Witness) -> str:
    if exit_.code == KILLED:
        who = "killed with SIGKILL by somebody" if exit_.signal else "exit code 137"
        reason = "no OOM kill was counted in its memory cgroup" if witness.cgroup else "no OOM kill on this machine"
        near = " although its limit had been reached" if witness.limit_reached else ""
        return f"{who}, not by the harness and not for memory: {reason}{near}"
    number = exit_.signal or (exit_.code - 128 if exit_.code > 128 else 0)
    meaning = WHAT_SIGNALS_MEAN.get(number)
    if meaning:
        return f"crashed: {meaning} ({signal_name(number)}, exit code {exit_.code})"
    if exit_.signal:
        return f"killed with {signal_name(exit_.signal)} by somebody, not by the harness (exit code {exit_.code})"
    return f"ended by itself with exit code {exit_.code}"


def _children(witness: Witness) -> str:
    """The main process was not the victim, but others were."""
    return f"; before that, {_times(witness.kills, 'OOM kill')} of its processes" if witness.kills else ""


def _limit_evidence(witness: Witness) -> str:
    if witness.cgroup is None:
        return "no memory cgroup"
    after = witness.cgroup[1]
    peak = "unknown" if after.peak_bytes is None else format_value(after.peak_bytes, "bytes")
    return (
        f"{_times(witness.kills, 'OOM kill')}, limit reached {_times(witness.hits, 'time')}, "
        f"peak {peak} of {format_value(after.limit_bytes, 'bytes')}"
    )


def _times(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


class ThrashWatch:
    """How long the subject has been at its limit without progress, from samples fed to it.

    Feed it only while there is work to do: an idle subject makes no progress either.
    """

    def __init__(self, near_limit: float = NEAR_LIMIT) -> None:
        self._near_limit = near_limit
        self._since: float | None = None
        self._progress: float | None = None
        self.longest_s = 0.0
        """The longest such stretch so far."""

    def feed(self, t_s: float, usage_bytes: int, limit_bytes: int, progress: float | None, *, alive: bool) -> float:
        """One sample; returns the seconds of the current stretch, 0 when it is not at the limit or made progress.

        `progress` is any counter that grows with work done; None (not known at this moment) is not progress.
        """
        moved = progress is not None and progress != self._progress
        if progress is not None:
            self._progress = progress
        if not alive or usage_bytes < self._near_limit * limit_bytes:
            self._since = None
        elif self._since is None or moved:
            self._since = t_s
        current = 0.0 if self._since is None else t_s - self._since
        self.longest_s = max(self.longest_s, current)
        return current
