"""Judges experiments: what two arms, measured in pairs, say of each other. Knows records, no cluster and no process."""
