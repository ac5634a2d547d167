"""The `harness` command: one module per verb."""
