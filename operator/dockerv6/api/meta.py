"""The base class of all models, and the metadata of resources."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from dockerv6.api.errors import FieldError

M = TypeVar("M", bound="Model")

ERROR_TYPE = "dockerv6"
"""The type of our errors among pydantic's. Their context has ``errors``, a tuple of `FieldError`."""

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_QUALIFIED = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", re.ASCII)
_LABEL_LENGTH = 63
_DOMAIN_LENGTH = 253


def camel(name: str) -> str:
    """``snat_address`` → ``snatAddress``."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def invalid_value(message: str, remedy: str) -> PydanticCustomError:
    """The error that the validator of a field raises. `api.validation` adds the path of the field."""
    errors = (FieldError((), message, remedy),)
    return PydanticCustomError(ERROR_TYPE, "{message}", {"message": message, "errors": errors})


class Model(BaseModel):
    """A block of a resource: frozen, without unknown fields, with camelCase names in documents.

    As in Kubernetes, null means that the field is not set, so its default applies.
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
        """Errors that concern several fields, each valid by itself. Paths start at this model."""
        return iter(())

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, value: object) -> object:
        if isinstance(value, Mapping) and None in value.values():
            return {key: item for key, item in value.items() if item is not None}
        return value

    @model_validator(mode="after")
    def _check_fields(self) -> Self:
        errors = tuple(self.field_errors())
        if errors:
            message = "; ".join(map(str, errors))
            raise PydanticCustomError(ERROR_TYPE, "{message}", {"message": message, "errors": errors})
        return self


def shared_default(model: type[M]) -> Callable[[], M]:
    """A default factory that returns the same instance each time.

    Models are frozen, and most resources leave out most blocks: sharing the defaults saves a third of the memory and of
    the decoding time of a resource.
    """
    instance = model()
    return lambda: instance


def name_problem(name: str) -> tuple[str, str] | None:
    """Why the name is not an RFC 1123 label, and the remedy; None when it is one."""
    if _LABEL.fullmatch(name):
        return None
    if not name:
        return "a name can't be empty", "write lower-case letters, digits and hyphens"
    suggestion = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:_LABEL_LENGTH].strip("-")
    message = (
        f"{name!r} is not a valid name: use 1 to 63 lower-case letters, digits and hyphens, and start and end with a"
        " letter or digit (RFC 1123)"
    )
    return message, f"did you mean {suggestion}?" if suggestion else "write lower-case letters, digits and hyphens"


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
            f"{key!r} is not a valid key: use at most 63 letters, digits, '-', '_' and '.', optionally after a domain "
            f"and '/'",
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
            f"{value!r} is not a valid label value: use at most 63 letters, digits, '-', '_' and '.', and start and "
            f"end with a letter or digit",
            "put other text into metadata.annotations",
        )
    return value


Name = Annotated[str, AfterValidator(_name)]
"""An RFC 1123 label."""

LabelKey = Annotated[str, AfterValidator(_qualified)]
LabelValue = Annotated[str, AfterValidator(_label_value)]

DockerKey = Annotated[str, AfterValidator(_docker_key)]
"""The key of a Docker label: any text."""


class ObjectMeta(Model):
    """Name, labels and annotations of a resource. There are no namespaces."""

    name: Name = Field(
        description="Name of the resource, unique within its kind across all sources. An RFC 1123 label: at most 63 "
        "lower-case letters, digits and hyphens.",
        min_length=1,
        max_length=63,
        json_schema_extra={"pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"},
    )
    labels: Mapping[LabelKey, LabelValue] = Field(
        default_factory=dict,
        description="Labels of the resource, for users and tools. Labels of the Docker network are in `spec.labels`.",
    )
    annotations: Mapping[LabelKey, str] = Field(
        default_factory=dict, description="Annotations of the resource, for users and tools. dockerv6 ignores them."
    )
