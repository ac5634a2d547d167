"""What the agents have done, counted, and how late: what the harness judges them by."""

from __future__ import annotations

from dataclasses import dataclass, field

LATE_S = 1.0
"""An answer that is sent so much later than it was due is late."""


@dataclass(slots=True)
class Diary:
    """Counts since the start. An answer is due a drawn delay after the BundleDeployment was seen."""

    seen: int = 0
    """Deployments that want an answer: each BundleDeployment once, and again whenever it is to deploy something else."""
    answered: int = 0
    not_ready: int = 0
    """Of `answered`: those that were asked to say so."""
    offline: int = 0
    """Deployments that nobody answers, as was asked."""
    superseded: int = 0
    """Deployments that were gone, or replaced by another, before their answer was due or arrived."""
    conflicts: int = 0
    """Answers that the API server refused for an older version, as was asked; each was then sent again."""
    failed: int = 0
    late: int = 0
    heartbeats: int = 0
    heartbeats_failed: int = 0
    error: str | None = None
    """The first refusal, in the API server's words."""
    late_s: list[float] = field(default_factory=list)
    """Of each answer: from when it was due to when it was sent."""
    took_s: list[float] = field(default_factory=list)
    """Of each answer: from when it was sent to its success."""

    @property
    def waiting(self) -> int:
        """Deployments whose answer is still to come."""
        return self.seen - self.answered - self.offline - self.superseded - self.failed

    def counts(self) -> dict[str, int]:
        """The counts by name."""
        names = (
            "seen", "answered", "not_ready", "offline", "superseded", "conflicts", "failed", "late", "heartbeats",
            "heartbeats_failed", "waiting",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}

    def quantiles(self) -> dict[str, float | None]:
        """Seconds, nearest rank; None where there was no answer."""
        found: dict[str, float | None] = {}
        for name, values in (("late", sorted(self.late_s)), ("took", sorted(self.took_s))):
            for quantile, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
                place = max(0, -(-int(share * 100) * len(values) // 100) - 1)
                found[f"{name}_{quantile}_s"] = values[place] if values else None
        return found
