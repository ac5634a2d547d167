"""The reference controller `calibrated`: its truth is known beforehand, so that what is measured can be compared with it.

It does what its switches say and nothing else: holds so many bytes per object, waits so long before it writes, leaves so
many tasks behind, sends so many writes that change nothing, ends so after so many objects. The mechanisms are real (held
bytearrays, asyncio tasks, status patches, a kill by the kernel); the figures follow from seed and index alone (`truth`).
"""
