"""Measures the harness itself: `make bench`, or `python -m tests.bench`. Only real work: a real control plane, real runs.

What is compared is alternated within one run, because two runs on one machine differ by more than what they compare.
Figures and how to read them: docs/performance.md.
"""
