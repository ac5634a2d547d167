"""The kinds that a subject in a pod is made of."""

from __future__ import annotations

from harness.core.kinds import Kind

POD = Kind("", "v1", "Pod", "pods", namespaced=True)
SERVICE = Kind("", "v1", "Service", "services", namespaced=True)
