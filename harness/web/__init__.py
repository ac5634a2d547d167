"""`harness serve`: runs, experiments, comparisons and the history in a browser of this machine, and a run while it goes on."""
