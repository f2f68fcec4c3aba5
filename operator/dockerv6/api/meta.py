"""The envelope that all resources share, and the base of all models."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from dockerv6.api.errors import FieldError

M = TypeVar("M", bound="Model")

SHAPE = "dockerv6"
"""The type of our own errors among pydantic's. Their context has ``findings``, a tuple of `FieldError`."""

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_QUALIFIED = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", re.ASCII)
_LABEL_LENGTH = 63
_DOMAIN_LENGTH = 253


def camel(name: str) -> str:
    """``snat_address`` → ``snatAddress``."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def invalid_value(message: str, remedy: str) -> PydanticCustomError:
    """What a field's validator raises: the scheme turns it into a `FieldError` at the field's place."""
    return PydanticCustomError(SHAPE, "{message}", {"message": message, "findings": (FieldError((), message, remedy),)})


class Model(BaseModel):
    """A part of a resource: frozen, unknown fields refused, camelCase outside and snake_case inside.

    A null means "not written", as in Kubernetes: the default applies, and the field does not count as set.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=camel,
        populate_by_name=True,
        use_enum_values=False,
        protected_namespaces=(),
    )

    def field_errors(self) -> Iterator[FieldError]:
        """What is wrong between the fields, each of which is valid by itself; paths start at this model."""
        return iter(())

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, value: object) -> object:
        if isinstance(value, Mapping) and None in value.values():
            return {key: item for key, item in value.items() if item is not None}
        return value

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        findings = tuple(self.field_errors())
        if findings:
            message = "; ".join(map(str, findings))
            raise PydanticCustomError(SHAPE, "{message}", {"message": message, "findings": findings})
        return self


def shared_default(model: type[M]) -> Callable[[], M]:
    """A default factory that gives one and the same instance of a part that can be left out.

    Parts are frozen, and most resources leave most of them out: a third of the memory and time of a resource of its own
    for each is saved.
    """
    instance = model()
    return lambda: instance


def name_problem(name: str) -> tuple[str, str] | None:
    """Why this is no RFC 1123 label, and the remedy; None when it is one."""
    if _LABEL.fullmatch(name):
        return None
    if not name:
        return "a name can't be empty", "write lower-case letters, digits and hyphens"
    mended = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:_LABEL_LENGTH].strip("-")
    wrong = (
        f"{name!r} is no valid name: 1 to 63 lower-case letters, digits and hyphens, no hyphen at either end (RFC 1123)"
    )
    return wrong, f"did you mean {mended}?" if mended else "write lower-case letters, digits and hyphens"


def _name(name: str) -> str:
    problem = name_problem(name)
    if problem:
        raise invalid_value(*problem)
    return name


def _qualified(key: str) -> str:
    domain, slash, name = key.rpartition("/")
    parts = domain.split(".") if slash else []
    if len(domain) > _DOMAIN_LENGTH or not all(map(_LABEL.fullmatch, parts)) or not _QUALIFIED.fullmatch(name):
        raise invalid_value(
            f"{key!r} is no valid key: at most 63 letters, digits, '-', '_' and '.', optionally after a domain and '/'",
            "write a key such as team or example.com/team",
        )
    return key


def _docker_key(key: str) -> str:
    if not key.strip():
        raise invalid_value("a label's key can't be empty", "write the key, such as com.docker.compose.project")
    return key


def _label_value(value: str) -> str:
    if value and not _QUALIFIED.fullmatch(value):
        raise invalid_value(
            f"{value!r} is no valid label value: at most 63 letters, digits, '-', '_' and '.', a letter or digit at "
            f"both ends",
            "put free text into metadata.annotations",
        )
    return value


Name = Annotated[str, AfterValidator(_name)]
"""An RFC 1123 label."""

LabelKey = Annotated[str, AfterValidator(_qualified)]
LabelValue = Annotated[str, AfterValidator(_label_value)]

DockerKey = Annotated[str, AfterValidator(_docker_key)]
"""The key of a Docker label: any text."""


class ObjectMeta(Model):
    """What identifies a resource. There are no namespaces."""

    name: Name = Field(
        description="Name of the resource, unique per kind in all sources together. An RFC 1123 label: at most 63 "
        "lower-case "
        "letters, digits and hyphens.",
        min_length=1,
        max_length=63,
        json_schema_extra={"pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"},
    )
    labels: Mapping[LabelKey, LabelValue] = Field(
        default_factory=dict,
        description="Labels of the resource, for people and tools. Not the Docker network's: see `spec.labels`.",
    )
    annotations: Mapping[LabelKey, str] = Field(
        default_factory=dict, description="Notes on the resource, for people and tools; dockerv6 does not act on them."
    )
