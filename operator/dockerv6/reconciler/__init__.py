"""The kopf-like core: keyed queue, workers, backoff, timers, finalizers, handler registry.

Duty: run handlers, one worker a key. Never: know Docker, networks or files.
"""
