"""The command line: one module per verb, in the style of kubectl, and printers.

Duty: parse arguments, call the packages below, print. Never: contain logic.
"""
