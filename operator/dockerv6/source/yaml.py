"""Text to documents: mappings, lists and scalars, each with its place in the file.

Built straight from the parser's events in one pass: PyYAML's own loaders know YAML 1.1 only, keep no positions, and
take four times as long.

Decisions:

* Merge keys (``<<``) are understood, because every Kubernetes tool reads them through go-yaml. A written key wins
  over a merged one, an earlier merged mapping over a later one.
* An alias may stand for anything, but not inside its own anchor, and what all aliases of a document repeat is bounded.
* Tags are allowed as far as the core schema has them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from yaml import YAMLError
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamStartEvent,
)

from dockerv6.source.events import NextEvent, open_events, unreadable
from dockerv6.source.limits import MAX_DEPTH, MAX_PROBLEMS, MAX_REPEATED_NODES
from dockerv6.source.scalars import MAPPING_TAG, SEQUENCE_TAG, resolve, tagged
from dockerv6.source.text import Flaw, UnreadableText

_Node = TypeVar("_Node", bound=NodeEvent)

_Marks = dict[str | int, tuple[Event, Event]]
"""Of the entries of one mapping or list: the event of the key (of the value itself, in a list) and of the value."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a text.

    Attributes:
        value: None, bool, int, float, str, list, or dict with string keys. What an alias stands for is the very
            object that its anchor marks, so nothing in here may be changed.
        flaws: why `value` can't be trusted; empty when it can.
    """

    value: object
    flaws: tuple[Flaw, ...]
    _start: Event
    _marks: Mapping[int, _Marks]

    @property
    def empty(self) -> bool:
        """Whether there is nothing in it but comments."""
        return self.value is None and not self.flaws

    def place(self, path: tuple[str | int, ...] = (), *, of_key: bool = False) -> tuple[int, int]:
        """Line and column, from 1, of what stands at a path; of the nearest thing around it when nothing does.

        Args:
            path: keys and indexes from the top of the document.
            of_key: point at the key rather than at its value. That is also done for a value that begins below its
                key, and for something that is missing: there the key of what it is missing from is shown.
        """
        value, event = self.value, self._start
        for depth, part in enumerate(path):
            marks = self._marks.get(id(value)) if isinstance(value, dict | list) else None
            if marks is None or part not in marks:
                break
            key, inner = marks[part]
            last = depth == len(path) - 1
            below = _place_of(inner)[0] > _place_of(key)[0]
            event = inner if last and not of_key and not below else key
            value = _child(value, part)
        return _place_of(event)


def parse(text: str) -> Iterator[Document]:
    """The documents of a text, one after another.

    Raises:
        UnreadableText: it is not YAML from some place on. Documents before that have been given already.
    """
    try:
        following = open_events(text)
        start = following()
        while type(start) is StreamStartEvent:
            start = following()
        while type(start) is DocumentStartEvent:
            yield _Composer(following).compose()
            start = following()
    except YAMLError as error:
        raise unreadable(text, error) from error
    except UnicodeEncodeError as error:
        flaw = Flaw(1, 1, f"character {error.object[error.start]!r} is half of a pair", "save the file as UTF-8")
        raise UnreadableText(flaw) from error


def _child(value: object, part: str | int) -> object:
    if isinstance(value, dict):
        return value[part]
    if isinstance(value, list) and isinstance(part, int):
        return value[part]
    return None


def _refusal(event: Event, message: str, remedy: str) -> UnreadableText:
    line, column = _place_of(event)
    return UnreadableText(Flaw(line, column, message, remedy))


def _place_of(event: Event) -> tuple[int, int]:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)


@dataclass(slots=True)
class _Finding:
    """A flaw whose path grows from the inside out while the composer leaves the containers around it."""

    event: Event
    message: str
    remedy: str
    depth: int
    path: list[str | int] = field(default_factory=list)

    def flaw(self) -> Flaw:
        line, column = _place_of(self.event)
        return Flaw(line, column, self.message, self.remedy, tuple(self.path))


class _Composer:
    """Builds one document. The loops here run once for every scalar of every file: they are written for speed."""

    __slots__ = ("_anchors", "_count", "_deepest", "_depth", "_findings", "_marks", "_next", "_repeated")

    def __init__(self, following: NextEvent) -> None:
        self._next = following
        self._anchors: dict[str, tuple[object, int, int]] = {}
        self._marks: dict[int, _Marks] = {}
        self._findings: list[_Finding] = []
        self._depth = 0
        self._deepest = 0
        self._count = 0
        self._repeated = 0

    def compose(self) -> Document:
        """The document whose start has just been read, up to and with its end."""
        start = self._next()
        value = self._node(start)
        self._next()
        return Document(value, tuple(finding.flaw() for finding in self._findings), start, self._marks)

    def _node(self, event: Event) -> object:
        self._count += 1
        if isinstance(event, ScalarEvent):
            return self._scalar(event) if event.anchor is None else self._anchored(event, self._scalar)
        if isinstance(event, MappingStartEvent):
            return self._mapping(event) if event.anchor is None else self._anchored(event, self._mapping)
        if isinstance(event, SequenceStartEvent):
            return self._sequence(event) if event.anchor is None else self._anchored(event, self._sequence)
        if isinstance(event, AliasEvent):
            return self._alias(event)
        raise TypeError(f"{event} does not begin a node")  # the parser's grammar rules it out

    def _scalar(self, event: ScalarEvent) -> object:
        text: str = event.value
        plain, quoted = event.implicit
        if plain and event.tag is None:
            try:
                return resolve(text)
            except ValueError as error:
                self._find(event, str(error), "put it in quotes if it is meant as text")
                return None
        if quoted or event.tag is None or event.tag == "!":
            return text
        try:
            return tagged(event.tag, text)
        except KeyError:
            self._foreign_tag(event)
        except ValueError as error:
            self._find(event, str(error), "remove the tag")
        return None

    def _mapping(self, event: MappingStartEvent) -> dict[str, object]:
        self._enter(event, MAPPING_TAG)
        result: dict[str, object] = {}
        marks: _Marks = {}
        merges: list[tuple[Event, Event, object]] = []
        following = self._next
        while type(key_event := following()) is not MappingEndEvent:
            key = self._key(key_event)
            value_event = following()
            value = self._node(value_event)
            if key is None:
                self._place(key_event.value if isinstance(key_event, ScalarEvent) else "?")
            elif key == "<<" and isinstance(key_event, ScalarEvent) and key_event.implicit[0]:
                merges.append((key_event, value_event, value))
                self._place(key)
            elif key in result:
                self._place(key)
                self._duplicate(key, marks[key][0], key_event)
            else:
                result[key] = value
                marks[key] = (key_event, value_event)
                if self._findings:
                    self._place(key)
        if merges:
            self._merge(result, marks, merges)
        self._marks[id(result)] = marks
        self._depth -= 1
        return result

    def _sequence(self, event: SequenceStartEvent) -> list[object]:
        self._enter(event, SEQUENCE_TAG)
        result: list[object] = []
        marks: _Marks = {}
        following = self._next
        while type(item_event := following()) is not SequenceEndEvent:
            index = len(result)
            result.append(self._node(item_event))
            marks[index] = (item_event, item_event)
            if self._findings:
                self._place(index)
        self._marks[id(result)] = marks
        self._depth -= 1
        return result

    def _enter(self, event: MappingStartEvent | SequenceStartEvent, core: str) -> None:
        if event.tag is not None and event.tag not in {core, "!"}:
            self._foreign_tag(event)
        self._depth += 1
        self._reach(event, self._depth)

    def _reach(self, event: Event, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise _refusal(event, f"more than {MAX_DEPTH} mappings and lists inside one another", "write it flatter")
        self._deepest = max(self._deepest, depth)

    def _key(self, event: Event) -> str | None:
        """The key of an entry, or None when it is no string (which has been noted)."""
        key = self._scalar(event) if isinstance(event, ScalarEvent) and event.anchor is None else self._node(event)
        if isinstance(key, str):
            return key
        if isinstance(event, ScalarEvent):
            message, remedy = f"the key {event.value!r} is not a string", "put it in quotes"
        else:
            message, remedy = "a key must be a string", "braces or brackets that begin a value must be in quotes"
        self._find(event, message, remedy)
        return None

    def _merge(self, result: dict[str, object], marks: _Marks, merges: list[tuple[Event, Event, object]]) -> None:
        if len(merges) > 1:
            self._duplicate("<<", merges[0][0], merges[1][0])
        for _, value_event, value in merges:
            for part in value if isinstance(value, list) else [value]:
                if not isinstance(part, dict):
                    self._find(value_event, "<< merges mappings only", "write an alias of a mapping, or a list of them")
                    continue
                inner = self._marks.get(id(part), {})
                for key, merged in part.items():
                    if key not in result:
                        result[key] = merged
                        if key in inner:
                            marks[key] = inner[key]

    def _anchored(self, event: _Node, build: Callable[[_Node], object]) -> object:
        count, deepest = self._count, self._deepest
        self._deepest = self._depth
        value = build(event)
        height = self._deepest - self._depth
        self._anchors[str(event.anchor)] = (value, self._count - count + 1, height)
        self._deepest = max(deepest, self._deepest)
        return value

    def _alias(self, event: AliasEvent) -> object:
        name = str(event.anchor)
        if name not in self._anchors:
            self._find(event, f"the alias *{name} has no anchor before it", f"mark what it stands for with &{name}")
            return None
        value, size, height = self._anchors[name]
        self._reach(event, self._depth + height)
        self._count += size
        self._repeated += size
        if self._repeated > MAX_REPEATED_NODES:
            message = f"aliases repeat more than {MAX_REPEATED_NODES} nodes in this document"
            raise _refusal(event, message, "write it out, in several files if need be")
        return value

    def _duplicate(self, key: str, first: Event, second: Event) -> None:
        line, column = _place_of(first)
        message = f"the key {key!r} is here twice; the first is at line {line}, column {column}"
        self._find(second, message, "remove one of them")
        self._place(key)

    def _foreign_tag(self, event: ScalarEvent | MappingStartEvent | SequenceStartEvent) -> None:
        self._find(event, f"the tag {event.tag} is not allowed", "remove it")

    def _find(self, event: Event, message: str, remedy: str) -> None:
        if len(self._findings) >= MAX_PROBLEMS:
            raise _refusal(event, f"more than {MAX_PROBLEMS} errors; the rest is not read", "mend these first")
        self._findings.append(_Finding(event, message, remedy, self._depth + 1))

    def _place(self, part: str | int) -> None:
        """Note that what was found inside the entry that is just being left lies under its key."""
        for finding in self._findings:
            if finding.depth > self._depth:
                finding.path.insert(0, part)
                finding.depth = self._depth
