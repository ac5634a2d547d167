"""The top level of what a subject may import from us: `sitecustomize` and `harness_agent`."""
