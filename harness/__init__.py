"""Memory profiling and load tests for Kubernetes controllers.

This module stays empty of imports: a reference controller that runs under a small memory limit
lives in this package too and must not carry DuckDB and Plotly. Import the packages you need.
"""

__version__ = "0.1.0"
