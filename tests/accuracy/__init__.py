"""Measured against true, for each collector: `make accuracy`. The page of its figures is docs/accuracy.md."""
