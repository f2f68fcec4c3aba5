"""Who holds which subnet.

Duty: choose blocks purely, keep them durably. Never: know Docker, nor read the clock inside the choice.
"""
