"""The resources: models, validation of their documents, conditions, CRDs.

Duty: define what a resource means. Never: do I/O, or know how a resource is applied.
"""
