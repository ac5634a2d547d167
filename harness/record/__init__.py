"""The run record: what a run left behind, readable without a cluster, on another machine, a year later."""
