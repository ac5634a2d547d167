"""Fleet Clusters that the load makes and registers, for a subject that leaves that to another program.

Fleet targets a Cluster only once its status names a namespace for what is deployed to it, and its controller without its agent
management never writes that itself. So each gets a namespace of the run, which says whose it is as Fleet's own do, and the
load writes its name into the status right after it has created the Cluster. Only where the scenario asks for it: a controller
that registers Clusters itself, such as the reference controller, would be written over.
"""

from __future__ import annotations

from harness.core.handles import JSON
from harness.scenario.model import Scenario
from harness.scenario.names import creates, template
from harness.scenario.steps import FLEET_CLUSTER

CLUSTER = "fleet.cattle.io/cluster"
CLUSTER_NAMESPACE = "fleet.cattle.io/cluster-namespace"


def planned(namespace: str) -> dict[str, JSON]:
    """What a plan's phase that creates Fleet Clusters is told: the namespaces' names, for `str.format(i=…)`."""
    return {"registered": f"{namespace}-c{{i:05d}}"}


def namespaces(scenario: Scenario, run_id: str, namespace: str) -> dict[str, dict[str, str]]:
    """The namespaces of the Fleet Clusters that the load registers, with the annotations that say whose each is."""
    names = str(planned(namespace)["registered"])
    return {
        names.format(i=index): {
            CLUSTER: template(FLEET_CLUSTER, run_id, phase.ordinal).format(i=index),
            CLUSTER_NAMESPACE: namespace,
        }
        for phase in creates(scenario, FLEET_CLUSTER)
        if phase.step.registers
        for index in range(phase.step.count)
    }
