"""The reference controller `kserve`: what KServe does with the credentials of InferenceServices, in asyncio.

An InferenceService names a ServiceAccount, and that the Secrets with which its storage is opened. They are looked up when
the object is admitted (a webhook) and again when it is reconciled. How Secrets are found is the switch: all of them kept in
memory, each read by name, or the one until there are too many. No model is served.
"""
