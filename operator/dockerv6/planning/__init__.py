"""How dockerv6 decides: from the desired state, the observed state and the ledger to plans.

`network`, `policy`, `deletion` and `admission` each plan one thing. The packages below hold what their plans consist
of. `inputs` is what a plan is computed from, `steps` and `plan` are the result, `status` derives the conditions.

Duty: compute plans, as pure functions over values.

Never: do I/O, await, or read a clock.
"""
