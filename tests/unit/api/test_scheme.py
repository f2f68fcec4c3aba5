"""Decoding documents and encoding resources."""

from collections.abc import Iterable

import pytest

from dockerv6.api import scheme, validation
from dockerv6.api.errors import FieldError, InvalidObject, format_path
from dockerv6.api.kinds import API_VERSION
from dockerv6.api.network import IPv6Network
from dockerv6.api.policy import IPv6Policy
from dockerv6.api.pool import IPv6Pool
from dockerv6.api.scheme import decode, digest, to_document
from tests.unit.api.checks import document, errors, fields, network, only


@pytest.mark.parametrize(
    ("kind", "model"), [("IPv6Network", IPv6Network), ("IPv6Pool", IPv6Pool), ("IPv6Policy", IPv6Policy)]
)
@pytest.mark.parametrize("spec", [{"spec": {}}, {"spec": None}, {}], ids=["empty", "null", "missing"])
def test_an_empty_spec_is_valid(kind: str, model: type[object], spec: dict[str, object]) -> None:
    decoded = decode({"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": "blog"}, **spec})
    assert isinstance(decoded.resource, model)
    assert decoded.warnings == ()


@pytest.mark.parametrize(
    ("whole", "path", "remedy"),
    [
        ({}, "", f"write apiVersion: {API_VERSION}"),
        ({"apiVersion": "dockerv6/v1alpha1"}, "apiVersion", f"did you mean {API_VERSION}?"),
        ({"apiVersion": "docker6.io/v1alpha1"}, "apiVersion", f"did you mean {API_VERSION}?"),
        ({"apiVersion": "dockerv6.io/v1"}, "apiVersion", f"write {API_VERSION}"),
        ({"apiVersion": 1}, "apiVersion", f"write {API_VERSION}"),
        (
            {"apiVersion": "apps/v1"},
            "apiVersion",
            f"write {API_VERSION}, or move the file out of the configuration directory",
        ),
        ({"apiversion": API_VERSION}, "apiversion", "did you mean apiVersion?"),
        ({"api_version": API_VERSION}, "api_version", "did you mean apiVersion?"),
    ],
)
def test_the_remedy_for_a_wrong_api_version_is_the_right_one(whole: dict[str, object], path: str, remedy: str) -> None:
    found = errors({"kind": "IPv6Pool", "metadata": {"name": "blog"}, **whole})
    assert (format_path(found[0].path), found[0].remedy) == (path, remedy)


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [
        ("ipv6network", "did you mean IPv6Network?"),
        ("IPV6Network", "did you mean IPv6Network?"),
        ("v6net", "did you mean IPv6Network?"),
        ("v6pol", "did you mean IPv6Policy?"),
        ("Ipv6Poool", "did you mean IPv6Pool?"),
        ("Deployment", "use IPv6Network, IPv6Pool or IPv6Policy"),
        (7, "write one of IPv6Network, IPv6Pool, IPv6Policy"),
    ],
)
def test_the_remedy_for_a_wrong_kind_is_a_suggestion(kind: object, remedy: str) -> None:
    error = only(errors({"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": "blog"}}))
    assert (error.path, error.remedy) == (("kind",), remedy)


def test_the_remedy_for_a_missing_kind_lists_all_kinds() -> None:
    assert only(errors({"apiVersion": API_VERSION, "metadata": {"name": "blog"}})).message == "kind is missing"


@pytest.mark.parametrize("whole", [None, [], "text", 3])
def test_a_document_that_is_not_a_mapping_is_invalid(whole: object) -> None:
    assert "must be a mapping" in only(errors(whole)).message


@pytest.mark.parametrize("metadata", [None, {}, {"labels": {}}])
def test_a_name_is_required(metadata: object) -> None:
    error = only(errors({"apiVersion": API_VERSION, "kind": "IPv6Pool", "metadata": metadata}))
    assert error.path == ("metadata", "name")
    assert error.message == "is required"


def test_metadata_and_spec_must_be_mappings() -> None:
    whole = {"apiVersion": API_VERSION, "kind": "IPv6Pool", "metadata": "blog", "spec": []}
    assert fields(errors(whole)) == ["metadata", "spec"]


@pytest.mark.parametrize(
    ("spec", "path", "remedy"),
    [
        ({"network_name": "x"}, "spec.network_name", "did you mean networkName?"),
        ({"Suspend": True}, "spec.Suspend", "did you mean suspend?"),
        ({"egres": {}}, "spec.egres", "did you mean egress?"),
        ({"addressing": {"poolref": {}}}, "spec.addressing.poolref", "did you mean poolRef?"),
        ({"publish": {"from_containers": True}}, "spec.publish.from_containers", "did you mean fromContainers?"),
        ({"bridge": {"colour": "red"}}, "spec.bridge.colour", "use name, mtu or icc"),
        ({"firewall": {"ingress": [{"frm": []}]}}, "spec.firewall.ingress[0].frm", "did you mean from?"),
    ],
)
def test_the_remedy_for_an_unknown_field_is_a_suggestion(spec: dict[str, object], path: str, remedy: str) -> None:
    error = only(errors(document("IPv6Network", spec)))
    assert (format_path(error.path), error.remedy) == (path, remedy)


def test_unknown_fields_outside_the_spec() -> None:
    assert only(errors({**document("IPv6Network"), "sepc": {}})).remedy == "did you mean spec?"
    assert "no namespace" in only(errors(document("IPv6Network", namespace="default"))).remedy


def test_a_key_that_is_not_a_string_is_invalid() -> None:
    numbered: dict[object, object] = {1: 2}
    assert only(errors(document("IPv6Network", numbered))).remedy == "put it in quotes"
    whole: dict[object, object] = {1: 2, **document("IPv6Network")}  # type: ignore[dict-item]
    assert only(errors(whole)).remedy == "put it in quotes"


def test_all_errors_are_reported_at_once() -> None:
    whole = document("IPv6Network", {"suspend": "yes", "addressing": {"subnet": "x"}, "hosts": []}, name="Blog")
    whole["apiVersion"] = "dockerv6.io/v2"
    assert fields(errors(whole)) == [
        "apiVersion",
        "metadata.name",
        "spec.suspend",
        "spec.addressing.subnet",
        "spec.hosts",
    ]


def test_what_a_server_writes_is_ignored_with_a_warning() -> None:
    pasted = document(
        "IPv6Network",
        uid="7",
        resourceVersion="1",
        generation=3,
        creationTimestamp="2026-11-23T02:43:12Z",
        managedFields=[],
        annotations={"kubectl.kubernetes.io/last-applied-configuration": "{}", "team": "web"},
    )
    pasted["status"] = {"conditions": []}
    decoded = decode(pasted)
    assert {format_path(warning.path) for warning in decoded.warnings} == {
        "status",
        "metadata.uid",
        "metadata.resourceVersion",
        "metadata.generation",
        "metadata.creationTimestamp",
        "metadata.managedFields",
        "metadata.annotations['kubectl.kubernetes.io/last-applied-configuration']",
    }
    assert decoded.resource.metadata.annotations == {"team": "web"}


def test_null_is_the_same_as_leaving_out_the_field() -> None:
    spec: dict[str, object] = {"addressing": {"subnet": None, "poolRef": None}, "egress": None, "networkName": None}
    resource = network(spec)
    assert to_document(resource)["spec"] == {"addressing": {}}
    assert digest(resource) == digest(network())


def test_a_document_has_only_the_fields_that_are_set() -> None:
    spec: dict[str, object] = {
        "internal": False,
        "addressing": {"subnet": "fd00:1::/64", "reserved": ["fd00:1::53", "fd00:1::100/120"]},
        "publish": {"ports": [{"port": 80, "containers": {"name": "web"}, "from": ["2001:db8::/32"]}]},
    }
    assert to_document(network(spec, labels={"team": "web"})) == {
        "apiVersion": API_VERSION,
        "kind": "IPv6Network",
        "metadata": {"name": "blog", "labels": {"team": "web"}},
        "spec": spec,
    }


def test_the_digest_covers_spec_labels_and_annotations_only() -> None:
    plain = network({"addressing": {"subnet": "fd00:1::/64"}, "internal": True})
    same = network({"internal": True, "driver": "bridge", "addressing": {"subnet": "FD00:0001::/64"}})
    assert digest(plain) == digest(same)
    others = [
        network({"addressing": {"subnet": "fd00:2::/64"}, "internal": True}),
        network({"addressing": {"subnet": "fd00:1::/64"}}),
        network({"addressing": {"subnet": "fd00:1::/64"}, "internal": True}, labels={"a": "b"}),
        network({"addressing": {"subnet": "fd00:1::/64"}, "internal": True}, annotations={"a": "b"}),
    ]
    assert len({digest(resource) for resource in [plain, *others]}) == 5


def test_resources_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        network().spec.suspend = True  # type: ignore[misc]


def test_the_message_of_the_exception_lists_its_errors() -> None:
    error = FieldError(("spec", "ports", 0, "a.b"), "is wrong", "correct it")
    assert str(InvalidObject((error,))) == "spec.ports[0]['a.b']: is wrong; correct it"
    assert str(FieldError((), "is wrong", "")) == "is wrong"


def test_of_tens_of_thousands_of_errors_the_first_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    explained: list[str] = []

    def explain(word: str, _: object) -> str:
        explained.append(word)
        return "remove it"

    monkeypatch.setattr(validation, "did_you_mean", explain)
    spec = {f"k{number}": 1 for number in range(20_000)}
    found = errors({"apiVersion": "v1", "kind": "IPv6Network", "metadata": {"name": "blog"}, "spec": spec})
    assert len(found) == validation.MAX_ERRORS
    assert (fields(found)[0], len(explained)) == ("apiVersion", validation.MAX_ERRORS)


def test_a_misspelled_field_is_sought_among_the_first_unknown_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []

    def match(_: str, candidates: Iterable[str]) -> None:
        compared.extend(candidates)

    monkeypatch.setattr(scheme, "closest_match", match)
    only(errors({"kind": "IPv6Network", "metadata": {"name": "blog"}, **{f"k{n}": 1 for n in range(1000)}})[:1])
    assert compared == [f"k{n}" for n in range(100)]
