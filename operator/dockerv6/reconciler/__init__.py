"""A small controller runtime: handlers for kinds of objects, a queue of keys, workers, retries, finalizers.

Duty: run handlers, one at a time for each key. Never: know Docker, networks or files.

`handler` is what a handler receives, returns and raises; `manager` states the contract and runs the handlers; `queue`
decides which key is next.
"""
