"""What a browser or a Prometheus asks the harness for: the live exporter of a run."""
