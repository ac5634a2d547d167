"""What provisions Prometheus, Pyroscope and Grafana: data sources with fixed uids, where the dashboards are, whom to scrape."""

from __future__ import annotations

from typing import Any

from dashboards.parts import PROMETHEUS_UID, PYROSCOPE_UID

PROMETHEUS, EXPORTER, PYROSCOPE, GRAFANA = 9090, 9464, 4040, 3000
"""Ports on loopback; `harness dashboards up` puts others in their place where it is told to."""
FOLDER = "/etc/harness-dashboards"
"""Where Grafana's container sees the dashboards."""
HOST = "127.0.0.1"


def prometheus() -> dict[str, Any]:
    """Scrapes the exporter of a run, and what that tells of the run's subject, API server and etcd."""
    labels = {"source_labels": ["__address__"], "target_label": "instance"}
    large = "apiserver_request_(total|duration_seconds_.*)|apiserver_current_inflight_requests|etcd_.*|process_.*|up"
    return {
        "global": {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "5s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [
            {"job_name": "harness", "static_configs": [{"targets": [f"{HOST}:{EXPORTER}"]}]},
            {
                # the API server's /metrics is megabytes of text: the exporter says how seldom to ask, and some of it is kept
                "job_name": "targets",
                "http_sd_configs": [{"url": f"http://{HOST}:{EXPORTER}/targets", "refresh_interval": "2s"}],
                "relabel_configs": [labels],
                "metric_relabel_configs": [
                    {"source_labels": ["job", "__name__"], "regex": f"subject;.*|etcd;.*|apiserver;({large})", "action": "keep"},
                    {"regex": "pod|uid", "action": "labeldrop"},
                ],
            },
        ],
    }  # fmt: skip


def datasources() -> dict[str, Any]:
    """Grafana's data sources; dashboards name Pyroscope by its uid."""
    common = {"access": "proxy", "editable": False, "orgId": 1}
    return {
        "apiVersion": 1,
        "prune": True,
        "datasources": [
            {"name": "Prometheus", "type": "prometheus", "uid": PROMETHEUS_UID, "url": f"http://{HOST}:{PROMETHEUS}",
             "isDefault": True, "jsonData": {"timeInterval": "5s", "httpMethod": "POST"}, **common},
            {"name": "Pyroscope", "type": "grafana-pyroscope-datasource", "uid": PYROSCOPE_UID,
             "url": f"http://{HOST}:{PYROSCOPE}", "jsonData": {"minStep": "5s"}, **common},
        ],
    }  # fmt: skip


def providers() -> dict[str, Any]:
    """Where Grafana finds the dashboards."""
    provider = {"name": "harness", "orgId": 1, "folder": "Controller harness", "folderUid": "controller-harness", "type": "file",
                "disableDeletion": True, "allowUiUpdates": False, "options": {"path": FOLDER}}  # fmt: skip
    return {"apiVersion": 1, "providers": [provider]}


def pyroscope() -> dict[str, Any]:
    """One process on loopback, ready in seconds, that sends nothing anywhere."""
    return {
        "target": "all",
        "server": {"http_listen_address": HOST, "http_listen_port": PYROSCOPE, "grpc_listen_address": HOST},
        "memberlist": {"bind_addr": [HOST], "advertise_addr": HOST},
        "segment_writer": {"lifecycler": {"address": HOST, "min_ready_duration": "0s"}},
        "metastore": {"min_ready_duration": "0s", "address": f"{HOST}:9095"},
        "storage": {"backend": "filesystem", "filesystem": {"dir": "/data"}},
        "self_profiling": {"disable_push": True},
        "analytics": {"reporting_enabled": False},
        "frontend": {"address": HOST},
    }
