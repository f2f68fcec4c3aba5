"""The resources as users write them: models, validation of shape, conditions, CRDs.

Duty: say what a resource means. Never: do I/O, or know how it is carried out.
"""
