"""From a record to results and a verdict: pure functions, no cluster, no process, the same answer every time."""
