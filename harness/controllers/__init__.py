"""Reference controllers: ordinary programs that harness measures, with the optimisations of the literature as switches.

They run in a process of their own under a small memory limit, so they import nothing from the rest of the harness.
"""
