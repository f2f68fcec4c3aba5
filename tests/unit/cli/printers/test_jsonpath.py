r"""The dialect of https://kubernetes.io/docs/reference/kubectl/jsonpath/, whose document and examples are used here."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerv6.cli.printers import jsonpath_parts
from dockerv6.cli.printers.jsonpath import parse_path, parse_template
from dockerv6.cli.printers.jsonpath_parts import JSONPathError

# the document of kubectl's page, shortened
PAGE = {
    "kind": "List",
    "items": [
        {
            "kind": "None",
            "metadata": {"name": "127.0.0.1", "labels": {"kubernetes.io/hostname": "127.0.0.1"}},
            "status": {"capacity": {"cpu": "4"}, "addresses": [{"type": "LegacyHostIP", "address": "127.0.0.1"}]},
        },
        {
            "kind": "None",
            "metadata": {"name": "127.0.0.2"},
            "status": {
                "capacity": {"cpu": "8"},
                "addresses": [
                    {"type": "LegacyHostIP", "address": "127.0.0.2"},
                    {"type": "another", "address": "127.0.0.3"},
                ],
            },
        },
    ],
    "users": [
        {"name": "myself", "user": {}},
        {"name": "e2e", "user": {"username": "admin", "password": "secret"}},
    ],
}

# what kubectl 1.32.3 printed (kubectl config view -o jsonpath=… with this kubeconfig)
KUBECONFIG: dict[str, Any] = {
    "kind": "Config",
    "clusters": [
        {"name": "a", "cluster": {"server": "https://a"}},
        {"name": "b10", "cluster": {"server": "https://b", "insecure-skip-tls-verify": True}},
        {"name": "b9", "cluster": {"server": "https://c"}},
    ],
    "contexts": [{"name": "one", "context": {"cluster": "a", "user": "u"}}],
    "current-context": "one",
    "users": None,
}
MEASURED = {
    "{.clusters[*].name}": "a b10 b9",
    '{range .clusters[*]}{.name}{"\\t"}{.cluster.server}{"\\n"}{end}': "a\thttps://a\nb10\thttps://b\nb9\thttps://c\n",
    "{.clusters[-1].name}": "b9",
    "{.clusters[0:2].name}": "a b10",
    '{.clusters[?(@.name=="a")].cluster.server}': "https://a",
    "{.clusters[?(@.cluster.insecure-skip-tls-verify==true)].name}": "b10",
    "{..name}": "a b10 b9 one",
    "{.nothing.x}": "",
    "{.clusters[0,2].name}": "a b9",
    "{.clusters[*]['name','cluster.server']}": "a b10 b9 https://a https://b https://c",
    '{.current-context} x {"q\\n"}': "one x q\n",
    ".current-context": ".current-context",
    "{.clusters[0]}": '{"cluster":{"server":"https://a"},"name":"a"}',
    '{.clusters[?(@.name!="a")].name}': "b10 b9",
    "{range .clusters[*]}{.name}": "ab10b9",
    "{.clusters.*.name}": "a b10 b9",
    "{$.kind}": "Config",
    "{@.kind}": "Config",
    "{.clusters[?(@.name>'b1')].name}": "b10 b9",
    "{.clusters[?(@.name)].name}": "a b10 b9",
    "{.contexts[0].context.user}{.users}": "unull",
    "{.clusters[1].cluster.insecure-skip-tls-verify}": "true",
    "{.clusters[::2].name}": "a b9",
    "{ .kind }": "Config",
    "{.clusters[*]..name}": "a b10 b9",
}
REFUSED = ("{.kind", "{foo}", "{kind}", '{.clusters[?(@.name=="a" && @.name=="b")].name}', "{end}")
"""What it refused, too. Indexes outside of a list are errors there, and give nothing here."""


@pytest.mark.parametrize(("template", "text"), MEASURED.items())
def test_it_prints_what_kubectl_printed(template: str, text: str) -> None:
    ordered = {**KUBECONFIG, "clusters": [dict(sorted(each.items())) for each in KUBECONFIG["clusters"]]}
    assert parse_template(template).render(ordered) == text


@pytest.mark.parametrize("template", REFUSED)
def test_it_refuses_what_kubectl_refused(template: str) -> None:
    with pytest.raises(JSONPathError):
        parse_template(template)


NUMBERS = {"list": ["a", "b", "c", "d"], "n": 3, "f": 1.5, "yes": True, "none": None, "empty": [], "it's": "x"}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        # the table "Function" of the page
        ("kind is {.kind}", "kind is List"),
        ("{.kind}", "List"),
        ("{['kind']}", "List"),
        (r"{.items[0].metadata.labels.kubernetes\.io/hostname}", "127.0.0.1"),
        ("{..name}", "127.0.0.1 127.0.0.2 myself e2e"),
        ("{.items[*].metadata.name}", "127.0.0.1 127.0.0.2"),
        (
            "{.items[*]['metadata.name', 'status.capacity']}",
            '127.0.0.1 127.0.0.2 {"cpu":"4"} {"cpu":"8"}',
        ),
        ("{.items[*]['kind']}", "None None"),
        ("{.items[*]['kind', 'absent']}", "None None"),
        ("{.users[0].name}", "myself"),
        ('{.users[?(@.name=="e2e")].user.password}', "secret"),
        ("{range .items[*]}[{.metadata.name}, {.status.capacity.cpu}] {end}", "[127.0.0.1, 4] [127.0.0.2, 8] "),
        ("{range .items[*]}{.metadata.name}{'\\t'}{end}", "127.0.0.1\t127.0.0.2\t"),
        ("{.items[-1:].metadata.name}", "127.0.0.2"),
        ("{.items[0:2:2].metadata.name}", "127.0.0.1"),
        # what the page says in words
        ("{@.kind}", "List"),
        ("{$.kind}", "List"),
        ("{ .kind }", "List"),
        ("{.items[0].status.addresses}", '[{"type":"LegacyHostIP","address":"127.0.0.1"}]'),
        ("{.items[*].status.addresses[?(@.type=='another')].address}", "127.0.0.3"),
        ("{.items[?(@.metadata.labels)].metadata.name}", "127.0.0.1"),
        ('{.items[?(@.status.addresses[?(@.type=="another")])].metadata.name}', "127.0.0.2"),
        ("{range .items[*]}{range .status.addresses[*]}{.type},{end};{end}", "LegacyHostIP,;LegacyHostIP,another,;"),
        ("{.items[0].metadata['labels']['kubernetes.io/hostname']}", "127.0.0.1"),
        ("{.absent.deeper[0].still}", ""),
        ("{range .absent[*]}never{end}", ""),
        ("", ""),
        ('{"{}"}', "{}"),
    ],
)
def test_templates_of_kubectl(template: str, text: str) -> None:
    assert parse_template(template).render(PAGE) == text


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("{.list[1,3]}", ["b", "d"]),
        ("list[-2]", ["c"]),
        (".list[-5]", []),
        (".list[4]", []),
        (".list[:2]", ["a", "b"]),
        (".list[::3]", ["a", "d"]),
        (".list.*", ["a", "b", "c", "d"]),
        (".list.key", []),
        (".n[0]", []),
        (".none", [None]),
        (".none.deeper", []),
        ('.["n"]', [3]),
        (".['it\\'s']", ["x"]),
        ('["it\'s"]', ["x"]),
        ("{.}", [NUMBERS]),
        ("@", [NUMBERS]),
    ],
)
def test_paths(path: str, values: list[object]) -> None:
    assert parse_path(path).find(NUMBERS) == values
    assert parse_path(path).first(NUMBERS) == (values[0] if values else None)


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ("@.n==2", "b"),
        ("@.n!=2", "a c d"),
        ("@.n<2", "a"),
        ("@.n<=2", "a b"),
        ("@.n>2.5", "c"),
        ("@.n>=3", "c"),
        ("3==@.n", "c"),
        ('@.n=="2"', ""),  # a number is no text
        ('@.n>"1"', ""),
        ("@.n==true", ""),  # nor a boolean, although 1 == True in Python
        ("@.yes==true", "a"),
        ("@.n==null", "d"),
        ("@.yes", "a"),
        ("@.name>='c'", "c d"),
        ("@.n == @.m", "b"),
        ("@['name']=='a'", "a"),
        ("@", "a b c d"),
    ],
)
def test_filters(condition: str, names: str) -> None:
    items = [
        {"name": "a", "n": 1, "yes": True},
        {"name": "b", "n": 2, "m": 2},
        {"name": "c", "n": 3},
        {"name": "d", "n": None},
    ]
    assert parse_template(f"{{.items[?({condition})].name}}").render({"items": items}) == names


@pytest.mark.parametrize(
    ("value", "text"), [(True, "true"), (None, "null"), (1.5, "1.5"), ("ü", "ü"), ({"ü": 1}, '{"ü":1}')]
)
def test_values_are_printed_as_json_except_text(value: object, text: str) -> None:
    assert parse_template("{.v}").render({"v": value}) == text


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{.a", "a path, a quoted text, range or end is followed by '}'"),
        ("{", "a path starts with '.'"),
        ("{}", "a path starts with '.'"),
        ("{foo}", "a path starts with '.'"),
        ("{.a b}", "is followed by '}'"),
        ("{.a..}", "a key is missing"),
        ("{.a.}", "a key is missing"),
        ("{.a[}", "brackets have an index"),
        ("{.a[1}", "']' is missing"),
        ("{.a[::0]}", "the step of a slice must be positive"),
        ("{.a[99999999999999999999999999999999]}", "the index is too long"),
        ("{.a[?(@.b==9999999999999999999999999999999)]}", "the number before this is too long"),
        ("{.a[?(-9999999999999999999999999999.999<@.b)]}", "the number before this is too long"),
        ('{.a[?(@.b=="c]}', 'the closing " is missing'),
        ("{.a[?@.b]}", "a filter is written"),
        ("{.a[?(@.b)}", "a filter ends with"),
        ("{.a[?(@.b=1)]}", "there is no operator '='"),
        ("{.a[?(@.b=~'c')]}", "there is no operator '='"),
        ("{.a[?(@.b==1 && @.c==2)]}", "&& and || do not exist"),
        ("{.a}{end}", "there is no {range"),
        ("{range .a}" * 17, "more than 16 ranges"),
        ("{.a" + "[?(@" * 17, "more than 16 filters"),
    ],
)
def test_the_message_names_the_problem(template: str, message: str) -> None:
    with pytest.raises(JSONPathError) as caught:
        parse_template(template)
    assert message in str(caught.value)


@pytest.mark.parametrize("path", ["", "  ", "{}", ".a}", "a b", "{.a}{.b}"])
def test_what_is_no_single_path_is_refused(path: str) -> None:
    with pytest.raises(JSONPathError):
        parse_path(path)


@given(st.text(alphabet="{}[]().*?@$'\"\\=<>!&,:-019 ab\nrangeend", max_size=60))
def test_every_text_is_a_template_or_an_error(text: str) -> None:
    try:
        template = parse_template(text)
    except JSONPathError:
        return
    template.render(PAGE)
    template.find(NUMBERS)


@pytest.mark.parametrize(
    "template",
    [
        "{" + "..*" * 12 + "}",
        "{" + "[*,*]" * 12 + "}",
        "{" + "..[?(@.a)]" * 12 + "}",
        "{range ..*}{range ..*}{range ..*}{range ..*}{.}{end}{end}{end}{end}",
    ],
)
def test_a_path_that_leads_to_too_many_values_is_an_error(monkeypatch: pytest.MonkeyPatch, template: str) -> None:
    monkeypatch.setattr(jsonpath_parts, "MAX_VALUES", 1000)
    deep: object = {"a": 1}
    for _ in range(20):
        deep = {"a": deep, "b": [deep] if len(str(deep)) < 500 else []}
    for act in (parse_template(template).render, parse_template(template).find):
        with pytest.raises(JSONPathError, match="more than 1000 values"):
            act(deep)
