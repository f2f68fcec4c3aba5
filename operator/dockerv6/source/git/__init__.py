"""Checks out resource files of Git repositories with the git program, so that they are read like any directory.

Duty: a complete tree of one commit, swapped in at once. Never: decide what a change means, or run
anything from a repository.
"""
