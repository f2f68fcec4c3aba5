"""Edits of daemon.json, and what its keys and dockerd's flags mean for the engine's next start."""

import json
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv6Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerv6.api.scheme import Resource
from dockerv6.daemon.engine_settings import (
    EngineSettings,
    SettingsSyntaxError,
    check,
    edited,
    names_of_default_bridge,
    parse,
)
from dockerv6.daemon.findings import CheckStatus, FindingId, HostCheck
from dockerv6.dockerd.model import Network
from dockerv6.source.documents import load_text
from tests.unit.planning.scene import foreign

PREFIX = IPv6Network("fd12:3456:789a::/64")
OLD, NEW = (20, 10), (28, 5)
BRIDGE = replace(foreign("bridge"), ipam=(), enable_ipv6=False)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '{\n  "ipv6": true\n}\n'),
        (" \n", '{\n  "ipv6": true\n}\n'),
        ("{}", '{\n  "ipv6": true\n}\n'),
        ("null\n", '{\n  "ipv6": true\n}\n'),
        ("{\r\n}\r\n", '{\r\n  "ipv6": true\r\n}\r\n'),
        ("\ufeff{}", '\ufeff{\n  "ipv6": true\n}\n'),
        ('{"debug":false}', '{"ipv6": true, "debug":false}'),
        ('{ "debug" : false }', '{ "ipv6": true, "debug" : false }'),
        ('{\n\t"debug": false\n}', '{\n\t"ipv6": true,\n\t"debug": false\n}'),
        ('\ufeff{\r\n    "debug": false\r\n}\r\n', '\ufeff{\r\n    "ipv6": true,\r\n    "debug": false\r\n}\r\n'),
        ('{"ipv6": false, "debug": 1e2}', '{"ipv6": true, "debug": 1e2}'),
        ('{"dns": ["::1", {"ipv6": "}"}],\n "ipv6" :null}', '{"dns": ["::1", {"ipv6": "}"}],\n "ipv6" :true}'),
        ('{"a\\"}{": "\\u00e9"}', '{"ipv6": true, "a\\"}{": "\\u00e9"}'),
        ('{"log-opts": {"ipv6": false}}', '{"ipv6": true, "log-opts": {"ipv6": false}}'),
        ('{"a": "\\"ipv6\\": false", "ipv6": false}', '{"a": "\\"ipv6\\": false", "ipv6": true}'),
        ('{"ipv6": true, "ipv6": false}', '{"ipv6": true, "ipv6": true}'),  # the last one counts
    ],
    ids=repr,
)
def test_an_edit_keeps_everything_else(before: str, after: str) -> None:
    assert edited(before, {"ipv6": True}) == after


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_KEYS = st.sampled_from(["ipv6", "experimental", "fixed-cidr-v6", "dns", '"', "é{", "}", ""])


@given(
    st.dictionaries(_KEYS, _VALUES, max_size=6),
    st.dictionaries(st.sampled_from(["ipv6", "experimental", "fixed-cidr-v6"]), st.booleans() | st.text(), min_size=1),
    st.sampled_from([None, 0, 2, "\t"]),
    st.booleans(),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", " :  ")]),
)
def test_any_file_has_the_new_keys_and_all_others_in_their_order(
    old: dict[str, object],
    changes: dict[str, object],
    indent: int | str | None,
    ascii_only: bool,  # noqa: FBT001
    separators: tuple[str, str],
) -> None:
    text = json.dumps(old, indent=indent, ensure_ascii=ascii_only, separators=separators)
    if any(isinstance(old.get(key), list | dict) for key in changes):
        with pytest.raises(SettingsSyntaxError, match="can't be changed by a program"):
            edited(text, changes)
        return
    result = edited(text, changes)
    assert parse(result) == {**old, **changes}
    assert [key for key in parse(result) if key in old] == list(old)
    assert edited(result, changes) == result


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{\n  "a": 1,\n}', "3:1: Expecting property name"),  # the column of what is not expected
        ('{\n  // "a": 1\n}', "2:3: Expecting property name enclosed in double quotes (JSON has no comments)"),
        ("[]", "1:1: not a JSON object"),
        ('{"a": %s}' % ("9" * 5000), "1:1: Exceeds the limit"),
        ("{" * 100_000, "1:2: "),
        ('{"a":' * 100_000, "1:1: maximum recursion depth"),
        ('{"a": 1} {"b": 2}', "1:10: Extra data"),
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_json_object_has_a_position(text: str, message: str) -> None:
    with pytest.raises(SettingsSyntaxError) as found:
        parse(text)
    assert str(found.value).startswith(message) or message.startswith("3:1")


def test_a_key_that_is_not_readable_as_text_is_not_edited() -> None:
    with pytest.raises(SettingsSyntaxError, match=r'^1:1: "ipv6" can\'t be changed by a program: edit the file'):
        edited('{"\\u0069pv6": false}', {"ipv6": True})


def found(
    file: str | None,
    *arguments: str,
    release: tuple[int, int] = OLD,
    networks: tuple[Network, ...] = (BRIDGE,),
    wanted_by: tuple[str, ...] = (),
    refusal: str | None = None,
) -> list[HostCheck]:
    content = None if file is None else file.encode(errors="surrogateescape")
    settings = EngineSettings(Path("/etc/docker/daemon.json"), content, arguments, release, refusal)
    return list(check(settings, networks, wanted_by, PREFIX))


def fixes(checks: list[HostCheck]) -> list[tuple[FindingId | None, Mapping[str, object] | None]]:
    return [(each.id, each.fix) for each in checks]


REFUSED = FindingId.ENGINE_SETTINGS_REFUSED


@pytest.mark.parametrize(
    ("file", "arguments", "release", "expected"),
    [
        (None, (), OLD, [(None, None)]),
        ("", (), OLD, [(None, None)]),
        ('{"ip6tables": true}', (), OLD, [(REFUSED, {"experimental": True})]),
        ('{"ip6tables": true, "experimental": false}', (), OLD, [(REFUSED, {"experimental": True})]),
        ('{"ip6tables": true, "experimental": true}', (), OLD, [(None, None)]),
        ('{"ip6tables": true}', ("--experimental",), OLD, [(None, None)]),
        ('{"ip6tables": true}', ("--experimental=false",), OLD, [(REFUSED, None)]),
        ('{"ip6tables": true}', (), NEW, [(None, None)]),
        ('{"ip6tables": true}', (), (0, 0), [(None, None)]),
        ('{"ipv6": true}', (), OLD, [(REFUSED, {"fixed-cidr-v6": str(PREFIX)})]),
        ('{"ipv6": true}', (), NEW, [(None, None)]),
        ('{"ipv6": true}', ("--fixed-cidr-v6", "fd00::/64"), OLD, [(None, None)]),
        ('{"ipv6": true}', ("--fixed-cidr-v6=fd00::/64",), OLD, [(None, None)]),
        # measured: 20.10 and 26.1 do not take it from there
        (
            '{"ipv6": true, "default-address-pools": [{"base": "fd00::/56", "size": 64}]}',
            (),
            OLD,
            [(REFUSED, {"fixed-cidr-v6": str(PREFIX)})],
        ),
        (
            '{"ip6tables": true, "ipv6": true}',
            (),
            OLD,
            [(REFUSED, {"experimental": True}), (REFUSED, {"fixed-cidr-v6": str(PREFIX)})],
        ),
        (
            '{"fixed-cidr-v6": "2001:db8:1::/64"}',
            (),
            NEW,
            [(FindingId.DOCUMENTATION_PREFIX, {"fixed-cidr-v6": str(PREFIX)})],
        ),
        ('{"fixed-cidr-v6": "3fff::/64"}', (), NEW, [(FindingId.DOCUMENTATION_PREFIX, {"fixed-cidr-v6": str(PREFIX)})]),
        ("{}", ("--fixed-cidr-v6=2001:db8:1::/64",), NEW, [(FindingId.DOCUMENTATION_PREFIX, None)]),
        ('{"fixed-cidr-v6": "fd00::/64"}', (), NEW, [(None, None)]),
        ('{"fixed-cidr-v6": 7}', (), NEW, [(None, None)]),
    ],
    ids=repr,
)
def test_what_an_engine_does_not_start_with_is_found_with_the_keys_that_end_it(
    file: str | None,
    arguments: tuple[str, ...],
    release: tuple[int, int],
    expected: list[tuple[FindingId | None, Mapping[str, object] | None]],
) -> None:
    assert fixes(found(file, *arguments, release=release)) == expected


@pytest.mark.parametrize(
    ("file", "arguments", "why"),
    [
        ('{"debug": true}', ("--debug",), "debug: set in the file and as a flag"),
        ('{"hosts": ["fd://"]}', ("-H", "fd://"), "hosts: set in the file"),
        ('{"hosts": ["fd://"]}', ("--host=fd://",), "hosts: set in the file"),
        ('{"labels": ["a=b"]}', ("--label", "c=d"), "labels: set in the file"),
        ('{"insecure-registries": []}', ("--insecure-registry=r",), "insecure-registries: set in the file"),
        ('{"hosts": ["fd://"]}', ("-H=fd://",), "hosts: set in the file"),
        ('{"debug": true}', ("-D",), "debug: set in the file"),
        ('{"log-level": "info"}', ("-linfo",), "log-level: set in the file"),
        ("{\n nope}", (), "daemon.json:2:2: Expecting"),
    ],
    ids=repr,
)
def test_what_only_a_person_can_correct_has_no_fix(file: str, arguments: tuple[str, ...], why: str) -> None:
    (check_,) = found(file, *arguments)
    assert (check_.id, check_.status, check_.fix) == (REFUSED, CheckStatus.FAIL, None)
    assert why in check_.message
    assert check_.message.endswith("the engine would not start again")


def test_what_the_engines_program_says_comes_first() -> None:
    (check_,) = found('{"debug": true}', "--debug", refusal="debug: (from flag: true, from file: true)", release=NEW)
    assert "(from flag: true, from file: true)" in check_.message
    assert check_.remedy == ("correct the file, or the flags of dockerd",)


@pytest.mark.parametrize(
    "file", ["\f{}", "\xa0{}", '{"max-download-attempts": %s}' % ("9" * 5000)], ids=lambda t: t[:5]
)
def test_a_file_that_only_the_engine_can_read_is_no_problem_and_has_no_fix(file: str) -> None:
    (check_,) = found(file, refusal="", release=NEW, wanted_by=("ipv6policy/local",))
    assert (check_.status, check_.fix) == (CheckStatus.OK, None)
    assert "the engine accepts it" in check_.message
    assert [each.status for each in found(file)] == [CheckStatus.FAIL]


def test_bytes_that_are_not_utf_8_are_kept() -> None:
    text = b'{"a": "\xff"}'.decode(errors="surrogateescape")
    assert edited(text, {"ipv6": True}).encode(errors="surrogateescape") == b'{"ipv6": true, "a": "\xff"}'
    assert fixes(found(text)) == [(None, None)]


def test_a_prefix_that_overlaps_a_docker_network_is_replaced() -> None:
    blog = foreign("blog", "fd00:1::/64")
    file = '{"ipv6": true, "fixed-cidr-v6": "fd00:1::/48"}'
    (check_,) = found(file, networks=(BRIDGE, blog))
    assert "overlaps the network blog" in check_.message
    assert (check_.id, check_.fix) == (REFUSED, {"fixed-cidr-v6": str(PREFIX)})
    off = '{"fixed-cidr-v6": "fd00:1::/48"}'  # measured: 20.10 and 28.5 start with it
    assert fixes(found(off, networks=(BRIDGE, blog))) == [(None, None)]
    (check_,) = found(off, networks=(BRIDGE, blog), wanted_by=("ipv6policy/local",), release=NEW)
    assert check_.fix == {"ipv6": True, "fixed-cidr-v6": str(PREFIX)}
    assert fixes(found(file, networks=(replace(blog, driver="overlay"),))) == [(None, None)]
    own = replace(foreign("bridge", "fd00:1::/64"))
    assert fixes(found(file, networks=(own,))) == [(None, None)]


def test_a_documentation_prefix_that_is_still_in_use_needs_a_restart() -> None:
    own = foreign("bridge", "2001:db8:1::/64")
    (check_,) = found('{"fixed-cidr-v6": "fd00::/64"}', networks=(own,), release=NEW)
    assert (check_.id, check_.fix) == (FindingId.DOCUMENTATION_PREFIX, {})


@pytest.mark.parametrize(
    ("file", "release", "changes"),
    [
        (None, OLD, {"ipv6": True, "fixed-cidr-v6": str(PREFIX)}),
        ('{"fixed-cidr-v6": "fd00::/64"}', OLD, {"ipv6": True}),
        (None, NEW, {"ipv6": True}),
        ('{"ipv6": false}', NEW, {"ipv6": True}),
        ('{"ipv6": true}', NEW, {}),  # written, and not yet read
    ],
    ids=repr,
)
def test_a_default_bridge_that_a_resource_names_gets_ipv6(
    file: str | None, release: tuple[int, int], changes: dict[str, object]
) -> None:
    (check_,) = found(file, release=release, wanted_by=("ipv6policy/local",))
    assert (check_.id, check_.status, check_.fix) == (FindingId.DEFAULT_BRIDGE_WITHOUT_IPV6, CheckStatus.WARN, changes)
    assert "ipv6policy/local" in check_.message
    with_ipv6 = foreign("bridge", "fd00::/64")
    assert fixes(found(file, release=release, wanted_by=("ipv6policy/local",), networks=(with_ipv6,))) == [(None, None)]
    assert fixes(found(file, release=release, wanted_by=("ipv6policy/local",), networks=())) == [(None, None)]


def test_a_default_bridge_of_20_10_may_have_a_subnet_and_no_ipv6() -> None:
    off = replace(foreign("bridge", "fd00::/64"), enable_ipv6=False)
    (check_,) = found('{"fixed-cidr-v6": "fd00::/64"}', networks=(off,), wanted_by=("ipv6policy/local",))
    assert check_.fix == {"ipv6": True}


def test_an_engine_whose_flag_turns_ipv6_off_is_not_contradicted() -> None:
    (check_,) = found(None, "--ipv6=false", release=NEW, wanted_by=("ipv6network/bridge",))
    assert (check_.fix, "--ipv6" in check_.remedy[0]) == (None, True)


def resources(text: str) -> list[Resource]:
    return [each.resource for each in load_text("x.yaml", text.encode()).resources]


def test_only_resources_that_name_the_default_bridge_want_it() -> None:
    head = "apiVersion: dockerv6.io/v1alpha1\nkind: "
    policy, network = f"{head}IPv6Policy\nmetadata: {{name: p}}\nspec: ", f"{head}IPv6Network\nmetadata: "
    texts = (
        f"{policy}{{selector: {{names: [bridge, blog]}}}}\n---\n{policy.replace('name: p', 'name: all')}{{}}\n---\n"
        f"{network}{{name: old}}\nspec: {{managementPolicy: Observe, networkName: bridge}}\n---\n"
        f"{network}{{name: blog}}\n"
    )
    assert names_of_default_bridge(resources(texts)) == ("ipv6policy/p", "ipv6network/old")
