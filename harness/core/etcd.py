"""How an etcd that has reached its quota shows: it refuses every write until somebody has made room, and reads go on."""

from __future__ import annotations

NOSPACE = "database space exceeded"
"""In its answer to a write, which the API server passes on with a 500."""
EVENT = "etcd_full"
"""The event of a run that met it."""
SENTENCE = (
    "etcd is full: it refuses every write (NOSPACE, database space exceeded); raise its quota (--quota-backend-bytes; of a "
    "cluster of the run's own --set etcd_quota=SIZE), compact, defragment and disarm its alarm, or send less"
)
