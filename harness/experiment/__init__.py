"""The runner: phases on one timeline, arms one after another."""
