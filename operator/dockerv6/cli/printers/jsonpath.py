r"""JSONPath templates in kubectl's dialect: ``{range .items[*]}{.metadata.name}{"\t"}{end}``.

Text outside braces is printed as it is. Inside are a path, a quoted text, ``range PATH`` or ``end``. A path has keys
(``.spec``, ``['a/b']``, ``.a\.b``), indexes, slices and unions (``[0]``, ``[-1]``, ``[0:2]``, ``[0,2]``), wildcards
(``[*]``, ``.*``), recursive descent (``..name``) and filters (``[?(@.status=="True")]``). A path that leads nowhere
gives nothing. The reference is https://kubernetes.io/docs/reference/kubectl/jsonpath/; docs/adr/0053 has the reasons
for an evaluator of our own.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from dockerv6.cli.printers.jsonpath_parts import (
    COMPARE,
    JSONPathError,
    Select,
    Values,
    bounded,
    children,
    constant,
    descendants,
    item,
    member,
    of_each,
    sliced,
)

_MAX_DEPTH = 16
"""Of ranges and of filters within filters. Nobody writes as many, and deeper ones would exhaust Python's stack."""

_MAX_DIGITS = 30
"""Of a number: far more than any value has, and few enough for int()."""

# texts, which re compiles when they are used: most commands use two of them
_NAME = r"""(?:\\.|[^\s.\[\]{}()"'=<>!,@$\\])+"""
_NUMBER = r"[+-]?\d+(?:\.\d+)?(?![\w.])"
_WORD = r"(?:true|false|null)(?![\w.])"
_SUBSCRIPT = r"(?P<start>[+-]?\d+)?(?P<slice>:(?P<stop>[+-]?\d+)?(?::(?P<step>[+-]?\d+)?)?)?"
_OPERATOR = r"[<>=!]+"
_KEYWORD = r"(range|end)(?![\w])"
_ESCAPE = r"(?s)\\(u[0-9a-fA-F]{4}|.)"
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_WORDS = {"true": True, "false": False, "null": None}


class JSONPath(NamedTuple):
    """The parts of a path, applied one after the other."""

    parts: tuple[Select, ...]

    def find(self, content: object) -> Values:
        """All values at the path, in the order of the document."""
        found: Values = [content]
        for select in self.parts:
            found = select(found)
        return found

    def first(self, content: object) -> object:
        """The first value at the path; None when there is none."""
        return next(iter(self.find(content)), None)


class RangeBlock(NamedTuple):
    """Nodes that are printed once for each value of a path."""

    path: JSONPath
    body: tuple["Node", ...]


Node = str | JSONPath | RangeBlock


class JSONPathTemplate(NamedTuple):
    """A parsed template."""

    nodes: tuple[Node, ...]

    def render(self, content: object) -> str:
        """The text for a document. Values of one path are separated by a space, mappings and lists are JSON."""
        return "".join(bounded(_rendered(self.nodes, content)))

    def find(self, content: object) -> Values:
        """The values of all paths, for a list of them as JSON."""
        return bounded(_found(self.nodes, content))


def _rendered(nodes: Sequence[Node], content: object) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, RangeBlock):
            for value in node.path.find(content):
                yield from _rendered(node.body, value)
        else:
            yield node if isinstance(node, str) else " ".join(map(value_text, node.find(content)))


def _found(nodes: Sequence[Node], content: object) -> Iterator[object]:
    for node in nodes:
        if isinstance(node, RangeBlock):
            for value in node.path.find(content):
                yield from _found(node.body, value)
        elif isinstance(node, JSONPath):
            yield from node.find(content)


def value_text(value: object) -> str:
    """A value as kubectl prints it: a text as it is, everything else as compact JSON."""
    if isinstance(value, str):
        return value
    import json  # noqa: PLC0415 - most paths lead to text

    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def parse_template(text: str) -> JSONPathTemplate:
    """Parse a template.

    Raises:
        JSONPathError: the syntax is wrong.
    """
    return JSONPathTemplate(_Parser(text).template())


@lru_cache(maxsize=256)
def parse_path(text: str) -> JSONPath:
    """Parse one path as options and columns have it: ``.a.b``, ``a.b``, ``{.a.b}`` or ``{a.b}``.

    Raises:
        JSONPathError: the syntax is wrong.
    """
    stripped = text.strip()
    inner = stripped[1:-1].strip() if stripped.startswith("{") and stripped.endswith("}") else stripped
    if not inner:
        raise JSONPathError("the path is empty; write one such as .metadata.name")
    parser = _Parser(inner if inner[0] in ".[$@" else f".{inner}")
    path = parser.path()
    parser.skip_space()
    if parser.position < len(parser.text):
        raise parser.error("a path ends here")
    return path


class _Parser:
    """Reads a template from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.depth = 0

    def error(self, message: str) -> JSONPathError:
        """An error that shows the rest of the text."""
        rest = self.text[self.position : self.position + 40] or "the end"
        return JSONPathError(f"{message}, at {rest!r} of the JSONPath")

    def template(self) -> tuple[Node, ...]:
        """All nodes."""
        blocks: list[tuple[JSONPath, list[Node]]] = []
        nodes: list[Node] = []
        while self.position < len(self.text):
            if not self._take("{"):
                end = self.text.find("{", self.position)
                end = len(self.text) if end < 0 else end
                nodes.append(self.text[self.position : end])
                self.position = end
                continue
            self.skip_space()
            keyword = self._match(_KEYWORD)
            if keyword is None:
                nodes.append(self._quoted() if self._peek() in ("'", '"') else self.path())
            elif keyword[1] == "range":
                self.skip_space()
                blocks.append((self.path(), nodes))
                nodes = []
                if len(blocks) > _MAX_DEPTH:
                    raise self.error(f"there are more than {_MAX_DEPTH} ranges in one another")
            elif not blocks:
                raise self.error("there is no {range …} that {end} could end")
            else:
                path, before = blocks.pop()
                before.append(RangeBlock(path, tuple(nodes)))
                nodes = before
            self._expect("}", "a path, a quoted text, range or end is followed by '}'")
        while blocks:  # as in kubectl, a range without {end} goes on to the end
            path, before = blocks.pop()
            nodes = [*before, RangeBlock(path, tuple(nodes))]
        return tuple(nodes)

    def path(self) -> JSONPath:
        """One path."""
        start = self.position
        if self._peek() in ("$", "@"):
            self.position += 1
        parts: list[Select] = []
        while self._peek() in (".", "["):
            if self._take(".."):
                parts.append(of_each(descendants))
                if self._peek() == "[":
                    continue
            elif self._take("."):
                if self._peek() == "[":  # such as .items.[0], which kubectl accepts
                    continue
                if parts == [] and not self._match_ahead(_NAME):  # {.}: the whole document
                    continue
            if self._take("["):
                parts.append(self._subscript())
            else:
                parts.append(self._key())
        if self.position == start:
            raise self.error("a path starts with '.', such as .metadata.name")
        return JSONPath(tuple(parts))

    def _key(self) -> Select:
        name = self._match(_NAME)
        if name is None:
            raise self.error("a key is missing")
        return of_each(children) if name[0] == "*" else member(re.sub(r"\\(.)", r"\1", name[0]))

    def _subscript(self) -> Select:
        """What follows ``[``."""
        if self._take("?"):
            self._expect("(", "a filter is written [?(…)]")
            condition = self._filter()
            self._expect("]", "a filter ends with ')]'")
            return condition
        start = self.position
        first = self._selector(union=False)
        if self._peek() != ",":
            self._expect("]", "']' is missing")
            return first
        self.position = start
        selects = [self._selector(union=True)]
        while self._take(","):
            selects.append(self._selector(union=True))
        self._expect("]", "']' is missing")
        return lambda values: bounded(found for select in selects for found in select(values))

    def _selector(self, *, union: bool) -> Select:
        """A part of what is in brackets. In a union, kubectl takes quoted text for a path."""
        self.skip_space()
        if self._take("*"):
            return of_each(children)
        if self._peek() in ("'", '"'):
            quoted = self._quoted()
            path = parse_path(quoted) if union else None
            self.skip_space()
            return member(quoted) if path is None else lambda values: [f for v in values for f in path.find(v)]
        found = self._match(_SUBSCRIPT)
        if found is None or not found[0]:
            raise self.error("brackets have an index, a slice, a quoted key, * or ?(…)")
        if len(found[0]) > _MAX_DIGITS:
            raise self.error("the index is too long")
        if not found["slice"]:
            return item(int(found["start"]))
        start, stop, step = (None if found[name] is None else int(found[name]) for name in ("start", "stop", "step"))
        if step is not None and step < 1:
            raise self.error("the step of a slice must be positive")
        return sliced(slice(start, stop, step))

    def _filter(self) -> Select:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self.error(f"there are more than {_MAX_DEPTH} filters in one another")
        left = self._operand()
        operator = self._match(_OPERATOR)
        if operator is None:
            self._expect(")", "one comparison is followed by ')'; && and || do not exist in kubectl's JSONPath")
            self.depth -= 1
            return of_each(lambda value: [each for each in children(value) if left.find(each)])
        compare = COMPARE.get(operator[0])
        if compare is None:
            raise JSONPathError(f"there is no operator {operator[0]!r} in a JSONPath; use one of {', '.join(COMPARE)}")
        right = self._operand()
        self._expect(")", "one comparison is followed by ')'; && and || do not exist in kubectl's JSONPath")
        self.depth -= 1

        def holds(each: object) -> bool:
            lefts, rights = left.find(each), right.find(each)
            return bool(lefts and rights) and compare(lefts[0], rights[0])

        return of_each(lambda value: [each for each in children(value) if holds(each)])

    def _operand(self) -> JSONPath:
        """A path below the item that is filtered, or a constant."""
        self.skip_space()
        if self._peek() in (".", "@", "$"):
            operand = self.path()
        elif self._peek() in ("'", '"'):
            operand = JSONPath((constant(self._quoted()),))
        elif (word := self._match(_WORD)) is not None:
            operand = JSONPath((constant(_WORDS[word[0]]),))
        elif (number := self._match(_NUMBER)) is not None:
            if len(number[0]) > _MAX_DIGITS:
                raise self.error("the number before this is too long")
            operand = JSONPath((constant(float(number[0]) if "." in number[0] else int(number[0])),))
        else:
            operand = self.path()
        self.skip_space()
        return operand

    def _quoted(self) -> str:
        mark = self._peek()
        end = self.position + 1
        while end < len(self.text) and self.text[end] != mark:
            end += 2 if self.text[end] == "\\" else 1
        if end >= len(self.text):
            raise self.error(f"the closing {mark} is missing")
        inner = self.text[self.position + 1 : end]
        self.position = end + 1
        return re.sub(_ESCAPE, _unescaped, inner)

    def _peek(self) -> str:
        return self.text[self.position : self.position + 1]

    def _take(self, token: str) -> bool:
        found = self.text.startswith(token, self.position)
        self.position += len(token) if found else 0
        return found

    def _expect(self, token: str, message: str) -> None:
        self.skip_space()
        if not self._take(token):
            raise self.error(message)

    def _match_ahead(self, pattern: str) -> re.Match[str] | None:
        return re.compile(pattern).match(self.text, self.position)

    def _match(self, pattern: str) -> re.Match[str] | None:
        found = self._match_ahead(pattern)
        self.position = self.position if found is None else found.end()
        return found

    def skip_space(self) -> None:
        """Go to the next character that is no space."""
        while self._peek().isspace():
            self.position += 1


def _unescaped(found: re.Match[str]) -> str:
    code = found[1]
    return chr(int(code[1:], 16)) if len(code) > 1 else _ESCAPES.get(code, code)
