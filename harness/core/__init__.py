"""The bottom layer: names, units, clocks and errors that every other package shares. Standard library only."""
