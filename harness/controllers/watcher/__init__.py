"""The reference controller `watcher`: lists and watches one kind, and hands each object on; with or without a store.

What kube-rs's watcher does, in asyncio: how the initial list is read and handed over is the switch. Up to kube 0.91 all
pages were gathered and handed over as one `Restarted`; since 0.92 each object is handed on as it comes (`Init`, `InitApply`,
`InitDone`).
"""
