"""How a subject in a pod ended: the kubelet's words, beside the counters of its cgroup where this machine sees them. Pure."""

from __future__ import annotations

from dataclasses import replace

from harness.core.handles import Ending, EndKind
from harness.process.child import Exit
from harness.subject.ending import KILLED, Witness, classify
from harness.subject.pod_watch import Termination

SIGNALS_END = 128 + 65
"""Exit codes above 128 are signals, up to SIGRTMAX."""
EVICTED = "Evicted"


def judge(
    termination: Termination | None,
    witness: Witness,
    *,
    t_ns: int,
    t_monotonic_ns: int,
    sent: tuple[int, ...] = (),
    thrashed_s: float = 0.0,
    waited: bool = False,
    pod_reason: str = "",
    pod_message: str = "",
) -> Ending:
    """The ending of the pod's last container. `pod_reason` is that of the pod itself, such as `Evicted`.

    `waited`: it had ended before the harness asked for that, and the kubelet was about to start another container.
    """
    if waited:
        last = judge(termination, witness, t_ns=t_ns, t_monotonic_ns=t_monotonic_ns)
        said = f"ended by the harness while the kubelet waited to start it again; before that, {last.sentence}"
        return replace(last, kind="our_signal", sentence=said)
    if termination is None:
        code, kubelet = KILLED, None
    else:
        code, kubelet = termination.exit_code, termination.as_json()
    number = code - 128 if 128 < code < SIGNALS_END else None
    exit_ = Exit(code, number, t_monotonic_ns, max_rss_bytes=0, cpu_s=0.0, sent=sent)
    ending = classify(exit_, witness, t_ns=t_ns, thrashed_s=thrashed_s)
    evidence = {key: value for key, value in ending.evidence.items() if key not in ("max_rss_bytes", "cpu_s")}
    ending = replace(ending, evidence={**evidence, "kubelet": kubelet, "pod_reason": pod_reason or None})
    if pod_reason == EVICTED:
        kind: EndKind = "oom_node" if "memory" in pod_message else "crash"
        return replace(ending, kind=kind, sentence=f"evicted by the node: {pod_message}")
    if termination is None and not sent:
        return replace(ending, kind="crash", sentence="its pod was deleted by somebody, not by the harness")
    if termination is not None and termination.oom_killed and not sent and ending.kind not in ("oom_limit", "oom_node"):
        # No counter could be read: the kubelet's word stands alone.
        sentence = "OOM-killed, says the kubelet (OOMKilled, exit code 137); no counter of this machine shows the limit reached"
        return replace(ending, kind="oom_limit", sentence=sentence)
    return ending
