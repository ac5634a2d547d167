"""The Kubernetes API as the harness uses it: apply, list, watch; on the official client's `kubernetes.aio`, as raw JSON."""
