"""YAML for readers of YAML 1.2, ours among them.

PyYAML writes YAML 1.1, where `08`, `0o7` and `1e3` without quotes are strings. In the core schema of YAML 1.2 they are
numbers, so that a resource of that name could not be read back.
"""

import yaml

from dockerv6.source.core_schema import ScalarError, plain_value

_STRING = "tag:yaml.org,2002:str"


class _CoreDumper(yaml.SafeDumper):
    """Puts quotes around every string that is something else in one of the two versions."""


def _represent_string(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar(_STRING, text, style=None if _is_string(text) else "'")


def _is_string(text: str) -> bool:
    """Whether the text without quotes is a string in YAML 1.2."""
    try:
        return not text or isinstance(plain_value(text), str)
    except ScalarError:
        return False


_CoreDumper.add_representer(str, _represent_string)


def dump(value: object, *, allow_unicode: bool) -> str:
    """The text. Keys keep their order."""
    text: str = yaml.dump(value, Dumper=_CoreDumper, sort_keys=False, allow_unicode=allow_unicode, width=120)
    return text
