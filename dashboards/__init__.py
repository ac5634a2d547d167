"""The Grafana dashboards, the rules of Prometheus and what provisions both: Python here, the files that it writes beside it.

`python -m dashboards` (in `make docs`) writes them, `python -m dashboards --check` (in `make lint`) fails where file and source
differ. Names of series come from the catalogues of the harness, so that a renamed one is found when the files are written.
"""
