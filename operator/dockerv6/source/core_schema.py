"""The core schema of YAML 1.2.2 §10.3.2: the values of scalars without quotes, and of scalars with a tag.

PyYAML implements YAML 1.1, which reads ``no`` as false, ``22:22`` as 1342 and ``2026-11-23`` as a date. In YAML 1.2 all
three are strings.
"""

import re
from collections.abc import Callable, Mapping
from math import inf, nan
from types import MappingProxyType

MAX_NUMBER_LENGTH = 400
"""Characters of a number."""

MAX_STRING_LENGTH = 256 * 1024
"""Characters of a string: as many as Kubernetes allows for all annotations of an object."""

_NOT_ENCODABLE = re.compile("[\0\ud800-\udfff]")


class ScalarError(ValueError):
    """A scalar has no value. ``remedy`` says what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def check_string(text: str) -> None:
    """Check that every layer can encode a string, as UTF-8 and as a C string.

    Raises:
        ScalarError: it is too long, or contains NUL or half of a surrogate pair.
    """
    if len(text) > MAX_STRING_LENGTH:
        raise ScalarError(f"a text of {len(text)} characters is too long", "shorten it")
    if found := _NOT_ENCODABLE.search(text):
        raise ScalarError(f"the character {found[0]!r} is not allowed", "remove it")


_CONSTANTS: Mapping[str, object] = {
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


def plain_value(text: str) -> object:
    """The value of a scalar without quotes: None, bool, int, float, or the text itself.

    Raises:
        ScalarError: a number of more than `MAX_NUMBER_LENGTH` characters.
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in _NUMBER_STARTS:
        return text
    return _number(text)


def tagged_value(tag: str, text: str) -> object:
    """The value of a scalar with an explicit tag, such as ``!!str 1``.

    Raises:
        ScalarError: the text is not a value of that type.
        KeyError: the core schema has no such scalar tag.
    """
    type_, convert = _TAGS[tag]
    value = convert(text)
    if not isinstance(value, type_) or (isinstance(value, bool) and type_ is not bool):
        raise ScalarError(f"{text!r} is not a value of type {tag.removeprefix(_CORE)}", "remove the tag")
    return value


def _number(text: str) -> object:
    if _DECIMAL.fullmatch(text):
        return int(_checked_length(text))
    if _FLOAT.fullmatch(text):
        return float(_checked_length(text))
    if _OCTAL_OR_HEXADECIMAL.fullmatch(text):
        return int(_checked_length(text), 0)
    return text


def _checked_length(number: str) -> str:
    if len(number) > MAX_NUMBER_LENGTH:
        raise ScalarError(f"a number of {len(number)} characters is too long", "put it in quotes if it is text")
    return number


def _float(text: str) -> object:
    value = plain_value(text)
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


_CORE = "tag:yaml.org,2002:"
_TAGS: Mapping[str, tuple[type | tuple[type, ...], Callable[[str], object]]] = MappingProxyType(
    {
        _CORE + "str": (str, str),
        _CORE + "int": (int, plain_value),
        _CORE + "float": (float, _float),
        _CORE + "bool": (bool, plain_value),
        _CORE + "null": (type(None), plain_value),
    }
)

MAPPING_TAG = _CORE + "map"
SEQUENCE_TAG = _CORE + "seq"
