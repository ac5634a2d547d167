"""Tests against real kind clusters, for `make test-kind`. Nothing here is skipped: without Docker and kind they fail."""
