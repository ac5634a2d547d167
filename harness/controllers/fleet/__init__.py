"""The reference controller `fleet`: what Rancher's Fleet does with GitRepos, Bundles and Clusters, in asyncio.

A label on a management Cluster is copied to the Fleet Cluster; GitRepos become Bundles; Bundles meet Clusters by their
selectors and become BundleDeployments; these become Ready; summaries follow upwards. The optimisations of docs/claims.md are
switches. Nothing is really cloned or deployed: the work on the Kubernetes API is what is measured.
"""
