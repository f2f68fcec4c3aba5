"""How much one file may hold. Beyond these it is no configuration, but a mistake or an attack."""

MAX_BYTES = 4 * 1024 * 1024
"""Of one file. Ten thousand resources of ordinary size fit."""

MAX_DEPTH = 64
"""Mappings and lists inside one another. A resource needs eight."""

MAX_REPEATED_NODES = 10_000
"""Nodes that the aliases of one document may repeat. Nodes that are written out are bounded by the size of the file."""

MAX_NUMBER_LENGTH = 400
"""Characters of a number."""

MAX_PROBLEMS = 100
"""Findings after which the rest of a file is not read: nobody reads more, and each costs time."""

MAX_FILES = 100_000
"""Resource files under one root."""

MAX_DIRECTORY_DEPTH = 32
"""Directories inside one another, under one root."""
