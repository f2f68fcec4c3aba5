"""The YAML composer: from parser events to documents, mappings, lists and scalars with positions.

It works on the events of PyYAML's parser in one pass. PyYAML's own loaders implement YAML 1.1, and their results have
no positions (docs/adr/0023-own-yaml-composer.md).

* Merge keys (``<<``) are supported, because all Kubernetes tools read them through go-yaml. A key of the mapping wins
  over a merged one, and an earlier merged mapping wins over a later one.
* An alias may stand for any value, but not inside its own anchor. The number of nodes that aliases repeat is bounded.
* Only the tags of the core schema are allowed.
* A string must be encodable: no NUL, no half of a surrogate pair. JSON and double quotes can spell both.
"""

from collections.abc import Callable, Iterator
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

from dockerv6.lib.tasks import CancellationToken
from dockerv6.lib.text import escaped
from dockerv6.source.core_schema import (
    MAPPING_TAG,
    MAX_STRING_LENGTH,
    SEQUENCE_TAG,
    ScalarError,
    check_string,
    plain_value,
    tagged_value,
)
from dockerv6.source.model import Diagnostic, Position, Severity
from dockerv6.source.yaml_document import PLACE_BITS, Document, Marks, line_and_column_of, place_of
from dockerv6.source.yaml_text import (
    NextEvent,
    UnreadableText,
    check_directives,
    open_events,
    syntax_error,
    undecodable_tag,
    unreadable,
    written_tag,
)

MAX_DEPTH = 64
"""Nested mappings and lists. A resource needs eight."""

MAX_REPEATED_NODES = 10_000
"""Nodes that the aliases of one document may repeat."""

MAX_NODES = 400_000
"""Values of a file (in mappings and lists), and 10 for each document. Ten thousand resources have about 250,000."""

MAX_PROBLEMS = 100
"""Errors after which the rest of a file is not read."""

_NodeEvent = TypeVar("_NodeEvent", bound=NodeEvent)

_PER_DOCUMENT = 10
"""Nodes that a document costs beside those in it."""

_NODES_PER_CHECK = 1000
"""Nodes between two checks of the token."""

_LONGEST_KEY = 1000


@dataclass(slots=True)
class Work:
    """Counts and limits the work on a file.

    Attributes:
        token: ends it early.
        nodes: as for `MAX_NODES`.
    """

    token: CancellationToken = field(default_factory=CancellationToken)
    nodes: int = 0


def parse(file: str, text: str, work: Work | None = None) -> Iterator[Document]:
    """Yield the documents of a text. ``file`` is its name, for positions.

    Raises:
        OperationCancelled: the token was cancelled.
        UnreadableText: the text is not YAML from some position on. Earlier documents have been yielded already.
    """
    work = work or Work()
    check_directives(file, text)
    try:
        next_event = open_events(text)
        start = next_event()
        while type(start) is StreamStartEvent:
            start = next_event()
        while type(start) is DocumentStartEvent:
            yield _Composer(file, text, next_event, work).compose()
            start = next_event()
    except YAMLError as error:
        raise syntax_error(file, text, error) from error
    except UnicodeEncodeError as error:
        message = f"{error.object[error.start]!r} is half of a surrogate pair"
        raise unreadable(file, 1, 1, message, "save the file as UTF-8") from error
    except UnicodeDecodeError as error:
        raise undecodable_tag(file, text) from error


@dataclass(slots=True)
class _Problem:
    """A problem whose path is built from the inside out, while the composer leaves the containers around it."""

    event: Event
    message: str
    remedy: str
    depth: int
    path: list[str | int] = field(default_factory=list)

    def diagnostic(self, file: str) -> Diagnostic:
        position = Position(file, *line_and_column_of(place_of(self.event)))
        return Diagnostic(position, Severity.ERROR, tuple(self.path), self.message, self.remedy)


class _Composer:
    """Builds one document. Its loops run once for every scalar of every file, so they are written for speed."""

    __slots__ = (
        *("_anchors", "_count", "_deepest", "_depth", "_file", "_marks", "_next", "_next_check", "_problems"),
        *("_repeated", "_text", "_work"),
    )

    def __init__(self, file: str, text: str, next_event: NextEvent, work: Work) -> None:
        self._file = file
        self._text = text
        self._work = work
        self._next = next_event
        self._anchors: dict[str, tuple[object, int, int]] = {}
        self._marks: dict[int, Marks] = {}
        self._problems: list[_Problem] = []
        self._depth = 0
        self._deepest = 0
        self._count = work.nodes + _PER_DOCUMENT
        self._next_check = 0
        self._repeated = 0

    def compose(self) -> Document:
        """Read the document whose start event was just read, including its end event."""
        start = self._next()
        value = self._node(start)
        self._next()
        self._work.nodes = self._count
        problems = tuple(problem.diagnostic(self._file) for problem in self._problems)
        return Document(value, problems, self._file, place_of(start), self._marks)

    def _node(self, event: Event) -> object:
        self._count += 1
        if self._count >= self._next_check:
            self._check_work(event)
        if isinstance(event, ScalarEvent):
            return self._scalar(event) if event.anchor is None else self._anchored(event, self._scalar)
        if isinstance(event, MappingStartEvent):
            return self._mapping(event) if event.anchor is None else self._anchored(event, self._mapping)
        if isinstance(event, SequenceStartEvent):
            return self._sequence(event) if event.anchor is None else self._anchored(event, self._sequence)
        if isinstance(event, AliasEvent):
            return self._alias(event)
        raise TypeError(f"{event} does not begin a node")  # ruled out by the grammar of the parser

    def _check_work(self, event: Event) -> None:
        self._work.token.check()
        if self._count > MAX_NODES:
            message = f"more than {MAX_NODES} values in one file"
            raise self._abort(event, message, "split it into several files, or move it if it has no resources")
        self._next_check = min(self._count + _NODES_PER_CHECK, MAX_NODES + 1)

    def _scalar(self, event: ScalarEvent) -> object:
        text: str = event.value
        plain, quoted = event.implicit
        try:
            if event.style == '"' or len(text) > MAX_STRING_LENGTH:
                check_string(text)
            if plain and event.tag is None:
                return plain_value(text)
            if quoted or event.tag is None or event.tag == "!":
                return text
            if not self._is_cut(event):
                return tagged_value(event.tag, text)
            self._report_tag(event)
        except KeyError:
            self._report_tag(event)
        except ScalarError as error:
            self._report(event, str(error), error.remedy)
        return None

    def _mapping(self, event: MappingStartEvent) -> dict[str, object]:
        self._enter(event, MAPPING_TAG)
        result: dict[str, object] = {}
        marks: Marks = {}
        merges: list[tuple[Event, Event, object]] = []
        next_event = self._next
        while type(key_event := next_event()) is not MappingEndEvent:
            key = self._key(key_event)
            value_event = next_event()
            value = self._node(value_event)
            if key is None:
                self._add_to_paths(
                    escaped(key_event.value[:_LONGEST_KEY]) if isinstance(key_event, ScalarEvent) else "?"
                )
            elif key == "<<" and isinstance(key_event, ScalarEvent) and key_event.implicit[0]:
                merges.append((key_event, value_event, value))
                self._add_to_paths(key)
            elif key in result:
                self._add_to_paths(key)
                self._duplicate(key, marks[key] >> PLACE_BITS, key_event)
            else:
                result[key] = value
                marks[key] = place_of(key_event) << PLACE_BITS | place_of(value_event)
                if self._problems:
                    self._add_to_paths(key)
        if merges:
            self._merge(result, marks, merges)
        self._marks[id(result)] = marks
        self._depth -= 1
        return result

    def _sequence(self, event: SequenceStartEvent) -> list[object]:
        self._enter(event, SEQUENCE_TAG)
        result: list[object] = []
        marks: Marks = {}
        next_event = self._next
        while type(item_event := next_event()) is not SequenceEndEvent:
            index = len(result)
            result.append(self._node(item_event))
            place = place_of(item_event)
            marks[index] = place << PLACE_BITS | place
            if self._problems:
                self._add_to_paths(index)
        self._marks[id(result)] = marks
        self._depth -= 1
        return result

    def _enter(self, event: MappingStartEvent | SequenceStartEvent, core: str) -> None:
        if event.tag is not None and (event.tag not in {core, "!"} or self._is_cut(event)):
            self._report_tag(event)
        self._depth += 1
        self._check_depth(event, self._depth)

    def _check_depth(self, event: Event, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise self._abort(event, f"more than {MAX_DEPTH} nested mappings and lists", "reduce the nesting")
        self._deepest = max(self._deepest, depth)

    def _key(self, event: Event) -> str | None:
        """The key of an entry; None when it is not a string, which is reported."""
        key = self._scalar(event) if isinstance(event, ScalarEvent) and event.anchor is None else self._node(event)
        if isinstance(key, str):
            if len(key) <= _LONGEST_KEY:
                return key
            message, remedy = f"a key of {len(key)} characters is too long", "shorten it"
        elif isinstance(event, ScalarEvent):
            message, remedy = f"the key {event.value!r} is not a string", "put it in quotes"
        else:
            message, remedy = "a key must be a string", "put a value that starts with a brace or bracket in quotes"
        self._report(event, message, remedy)
        return None

    def _merge(self, result: dict[str, object], marks: Marks, merges: list[tuple[Event, Event, object]]) -> None:
        if len(merges) > 1:
            self._duplicate("<<", place_of(merges[0][0]), merges[1][0])
        for _, value_event, value in merges:
            for part in value if isinstance(value, list) else [value]:
                if not isinstance(part, dict):
                    self._report(
                        value_event, "<< takes only mappings", "write an alias of a mapping, or a list of such aliases"
                    )
                    continue
                inner = self._marks.get(id(part), {})
                for key, merged in part.items():
                    if key not in result:
                        result[key] = merged
                        if key in inner:
                            marks[key] = inner[key]

    def _anchored(self, event: _NodeEvent, build: Callable[[_NodeEvent], object]) -> object:
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
            self._report(event, f"the alias *{name} has no anchor before it", f"define it with &{name}")
            return None
        value, size, height = self._anchors[name]
        self._check_depth(event, self._depth + height)
        self._count += size
        self._repeated += size
        if self._repeated > MAX_REPEATED_NODES:
            message = f"aliases repeat more than {MAX_REPEATED_NODES} nodes in this document"
            raise self._abort(event, message, "write the nodes out, in several files if necessary")
        return value

    def _duplicate(self, key: str, first: int, second: Event) -> None:
        line, column = line_and_column_of(first)
        message = f"duplicate key {key!r}; the first one is at line {line}, column {column}"
        self._report(second, message, "remove one of them")
        self._add_to_paths(key)

    def _abort(self, event: Event, message: str, remedy: str) -> UnreadableText:
        return unreadable(self._file, *line_and_column_of(place_of(event)), message, remedy)

    def _is_cut(self, event: NodeEvent) -> bool:
        """Whether the tag of an event is not the one of the text: libyaml cuts it at an escaped NUL."""
        return "%00" in written_tag(self._text, event)

    def _report_tag(self, event: ScalarEvent | MappingStartEvent | SequenceStartEvent) -> None:
        self._report(event, f"the tag {written_tag(self._text, event)} is not allowed", "remove it")

    def _report(self, event: Event, message: str, remedy: str) -> None:
        if len(self._problems) >= MAX_PROBLEMS:
            raise self._abort(
                event, f"more than {MAX_PROBLEMS} errors; the rest of the file is not read", "correct these first"
            )
        self._problems.append(_Problem(event, message, remedy, self._depth + 1))

    def _add_to_paths(self, part: str | int) -> None:
        """Add the key of the entry that the composer leaves to the paths of the problems inside it."""
        for problem in self._problems:
            if problem.depth > self._depth:
                problem.path.insert(0, part)
                problem.depth = self._depth
