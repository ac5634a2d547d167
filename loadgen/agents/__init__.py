"""Fake agents: one process that answers for the agents of a whole fleet, without a kubelet and without a cluster behind them.

It watches the BundleDeployments of all Clusters by one watch, writes each one's status after a delay, as the agent in its
Cluster would, and reports for each Cluster that it is alive. Delays, Clusters that never answer, deployments that do not become
ready and conflicts are asked for; which ones is drawn by the seed. See docs/architecture.md, "Fake agents".
"""
