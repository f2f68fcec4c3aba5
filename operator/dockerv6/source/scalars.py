"""What a scalar without quotes means: the core schema of YAML 1.2.2 §10.3.2.

YAML 1.1, which PyYAML implements, reads ``no`` as false, ``22:22`` as 1342 and ``2026-11-23`` as a date.
Here they are the strings that they look like.
"""

import re
from collections.abc import Callable, Mapping
from math import inf, nan
from types import MappingProxyType

from dockerv6.source.limits import MAX_NUMBER_LENGTH

_WORDS: Mapping[str, object] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **{sign + word: inf for sign in ("", "+") for word in (".inf", ".Inf", ".INF")},
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), nan),
}
_NUMBER_STARTS = frozenset("+-.0123456789")
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_OCTAL_OR_HEXADECIMAL = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")


def resolve(text: str) -> object:
    """The value of a plain scalar: None, bool, int, float, or the text itself.

    Raises:
        ValueError: a number of absurd length.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBER_STARTS:
        return text
    return _number(text)


def tagged(tag: str, text: str) -> object:
    """The value of a scalar whose tag is written out, such as ``!!str 1``.

    Raises:
        ValueError: the text is no such thing.
        KeyError: the tag is none of the core schema's scalar tags.
    """
    kind, convert = _TAGS[tag]
    value = convert(text)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{text!r} is no {tag.removeprefix(_CORE)}")
    return value


def _number(text: str) -> object:
    if _DECIMAL.fullmatch(text):
        return int(_short(text))
    if _FLOAT.fullmatch(text):
        return float(_short(text))
    if _OCTAL_OR_HEXADECIMAL.fullmatch(text):
        return int(_short(text), 0)
    return text


def _short(number: str) -> str:
    if len(number) > MAX_NUMBER_LENGTH:
        raise ValueError(f"a number of {len(number)} characters is too long")
    return number


def _float(text: str) -> object:
    value = resolve(text)
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


_CORE = "tag:yaml.org,2002:"
_TAGS: Mapping[str, tuple[type | tuple[type, ...], Callable[[str], object]]] = MappingProxyType(
    {
        _CORE + "str": (str, str),
        _CORE + "int": (int, resolve),
        _CORE + "float": (float, _float),
        _CORE + "bool": (bool, resolve),
        _CORE + "null": (type(None), resolve),
    }
)

MAPPING_TAG = _CORE + "map"
SEQUENCE_TAG = _CORE + "seq"
