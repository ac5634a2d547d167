"""What a browser, a Prometheus or a Grafana asks of the harness: pages, the live exporter, annotations, the stack beside it."""
