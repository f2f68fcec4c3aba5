import json
from pathlib import Path

import pytest
import yaml

from dockerv6.store.model import WARNINGS, EventType
from dockerv6.store.tables import read_objects
from tests.unit.cli.harness import NOW, Daemon, FakeTime, ready, run, stored


def test_resources_of_a_kind_are_a_table(running: Daemon) -> None:
    running.accept(
        stored("blog", status=ready(subnet="fd00::/64", containers=0, warnings=["MTUMismatch"])),
        stored("p", "IPv6Pool"),
    )
    result = run(["get", "v6net"])
    assert result.stdout.splitlines() == [
        "NAME   READY   REASON               WARNINGS      SUBNET      CONTAINERS   AGE",
        "blog   True    ReconcileSucceeded   MTUMismatch   fd00::/64   0            120m",
    ]


def test_a_resource_without_a_status_shows_none(running: Daemon) -> None:
    running.accept(stored("blog", status={}))
    assert run(["get", "v6net"]).stdout.splitlines()[1].split() == [
        "blog",
        "<none>",
        "<none>",
        "<none>",
        "<none>",
        "<none>",
        "120m",
    ]


@pytest.mark.parametrize("command", [["get", "v6net"], ["describe", "v6net", "blog"], ["events"]])
def test_without_a_daemon_the_age_of_what_is_shown_is_a_warning(daemon: Daemon, command: list[str]) -> None:
    daemon.accept(stored("blog"))
    result = run(command)
    assert result.exit_code == 0
    assert result.stderr.startswith(
        f"Warning: no dockerv6 is running with {daemon.directory}: this is the state of 0s ago; start it"
    )


def test_each_kind_has_a_table_and_names_include_the_kind(running: Daemon) -> None:
    running.accept(stored("blog"), stored("p", "IPv6Pool"))
    first, second = run(["get", "all"]).stdout.split("\n\n")
    assert first.splitlines()[1].startswith("ipv6network/blog ")
    assert second.splitlines()[1].startswith("ipv6pool/p ")


def test_names_are_accepted_by_other_verbs(running: Daemon) -> None:
    running.accept(stored("a"), stored("b"))
    names = run(["get", "v6net", "-o", "name"]).stdout.split()
    assert names == ["ipv6network.dockerv6.io/a", "ipv6network.dockerv6.io/b"]
    assert run(["get", *names, "-o", "name"]).stdout.split() == names


def test_one_by_name_is_an_object_and_several_are_a_list(running: Daemon) -> None:
    running.accept(stored("a", labels={"app": "x"}, deleting_since=NOW), stored("b"))
    one = json.loads(run(["get", "v6net", "a", "-o", "json"]).stdout)
    assert one["metadata"] == {
        "name": "a",
        "labels": {"app": "x"},
        "generation": 1,
        "creationTimestamp": "2023-11-14T20:13:20Z",
        "deletionTimestamp": "2023-11-14T22:13:20Z",
    }
    assert list(one) == ["apiVersion", "kind", "metadata", "spec", "status"]
    many = json.loads(run(["get", "v6net", "-o", "json"]).stdout)
    assert (many["kind"], [item["metadata"]["name"] for item in many["items"]]) == ("List", ["a", "b"])
    assert json.loads(run(["get", "v6net", "a", "b", "a", "-o", "json"]).stdout) == many


def test_yaml_has_the_content_of_json(running: Daemon) -> None:
    import yaml  # noqa: PLC0415 - only here

    running.accept(stored("a", spec={"egress": {"mode": "None"}}))
    shown = yaml.safe_load(run(["get", "v6net", "a", "-o", "yaml"]).stdout)
    assert shown == json.loads(run(["get", "v6net", "a", "-o", "json"]).stdout)


def test_a_selector_filters_by_labels(running: Daemon) -> None:
    running.accept(stored("a", labels={"app": "x"}), stored("b"))
    assert run(["get", "v6net", "-l", "app=x", "-o", "name"]).stdout == "ipv6network.dockerv6.io/a\n"
    assert run(["get", "v6net", "-l", "app!=x", "-o", "name"]).stdout == "ipv6network.dockerv6.io/b\n"
    assert run(["get", "v6net", "-l", "a b"]).exit_code == 2


def test_a_missing_name_is_an_error(running: Daemon) -> None:
    running.accept(stored("a"))
    result = run(["get", "v6net", "x"])
    assert (result.exit_code, result.stderr) == (1, 'Error: ipv6networks "x" not found\n')
    assert run(["get", "v6net", "a", "x"]).exit_code == 1


def test_no_resources_is_no_error(running: Daemon) -> None:
    running.accept()
    result = run(["get", "v6pol"])
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "No resources found\n")
    assert json.loads(run(["get", "v6pol", "-o", "json"]).stdout)["items"] == []


def test_without_a_state_file_the_error_has_a_remedy(running: Daemon) -> None:
    result = run(["get", "v6net"])
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: there is no {running.file}: the daemon has not run yet, or it uses another state directory; "
        "start the daemon with `dockerv6 run`, or select its directory with --state-dir\n"
    )


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_dangerous_characters_are_escaped_in_documents(running: Daemon, form: str) -> None:
    text = "straße \x7f\x9b\u202e\u2028\u2066 😀"
    running.accept(stored("a", status=ready(subnet=text)))
    output = run(["get", "v6net", "a", "-o", form]).stdout
    assert all(line.isprintable() for line in output.split("\n"))
    assert yaml.safe_load(output)["status"]["subnet"] == text


def test_control_characters_of_files_are_not_printed(running: Daemon) -> None:
    running.accept(stored("a", status=ready(subnet="x\x1b[31m\ny")))
    assert "x\\x1b[31m y" in run(["get", "v6net"]).stdout


def watched(running: Daemon, *arguments: str) -> list[str]:
    """The lines that are printed while one resource changes, one is created and one is deleted."""
    running.accept(stored("a"), stored("b"))
    time = FakeTime(
        lambda: running.accept(stored("a", status=ready("False", reason="SubnetOverlap"))),
        lambda: None,
        lambda: running.accept(stored("c")),
        lambda: running.remove("IPv6Network", "b"),
    )
    time.interrupt = True
    result = run(["get", "v6net", "-w", *arguments], time)
    assert result.exit_code == 130
    return result.stdout.splitlines()


def test_a_watch_prints_everything_and_then_each_change(running: Daemon) -> None:
    lines = watched(running)
    assert [line.split()[:3] for line in lines] == [
        ["NAME", "READY", "REASON"],
        ["a", "True", "ReconcileSucceeded"],
        ["b", "True", "ReconcileSucceeded"],
        ["a", "False", "SubnetOverlap"],
        ["c", "True", "ReconcileSucceeded"],
        ["b", "<deleted>", "ReconcileSucceeded"],
    ]
    assert {line.index(word) for line, word in zip(lines, ["REASON", "Rec", "Rec", "Sub", "Rec"], strict=False)} == {15}


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_a_watch_in_json_prints_one_object_after_another(running: Daemon, form: str) -> None:
    import yaml  # noqa: PLC0415 - only here

    text = "\n".join(watched(running, "-o", form))
    if form == "json":
        decoder, position, found = json.JSONDecoder(), 0, []
        while position < len(text):
            item, end = decoder.raw_decode(text, position)
            found.append(item)
            position = end + 1
    else:
        found = list(yaml.safe_load_all(text))
    assert [item["metadata"]["name"] for item in found] == ["a", "b", "a", "c", "b"]


def test_a_watch_for_names_prints_names(running: Daemon) -> None:
    assert watched(running, "-o", "name")[-1] == "ipv6network.dockerv6.io/b"


def test_a_watch_reads_at_most_once_a_second_without_changes(running: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    running.accept(stored("a"))
    time = FakeTime(*([lambda: None] * 50))
    time.interrupt = True
    reads = []
    read = read_objects

    def counted(*arguments: object) -> object:
        reads.append(arguments)
        return read(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("dockerv6.cli.state.read_objects", counted)
    run(["get", "v6net", "-w"], time)
    assert 10 < len(reads) < 16  # in 12.5 s


def test_warnings_that_belong_to_no_resource_are_shown(running: Daemon) -> None:
    running.accept(stored("blog"))
    running.report("container web: label 'dockerv6.io/network=x' has no effect", scope=WARNINGS)
    result = run(["get", "v6net"])
    expected = "Warning: container web: label 'dockerv6.io/network=x' has no effect\n"
    assert (result.exit_code, result.stderr) == (0, expected)


def test_problems_that_belong_to_no_resource_are_warnings(running: Daemon) -> None:
    running.accept(stored("blog"))
    running.report("x.yaml:2:7: there is no kind 'IPV6Network'; did you mean IPv6Network?")
    result = run(["get", "v6net", "-o", "name"])
    assert result.exit_code == 0
    assert result.stdout == "ipv6network.dockerv6.io/blog\n"
    assert result.stderr == "Warning: x.yaml:2:7: there is no kind 'IPV6Network'; did you mean IPv6Network?\n"


def test_a_warning_is_one_line_without_control_characters(running: Daemon) -> None:
    running.accept(stored("blog"))
    running.report("x\x1b]0;title\x07\n\u202e.yaml:1:1: error: invalid")
    assert run(["get", "v6net"]).stderr == "Warning: x\\x1b]0;title\\x07 \\u202e.yaml:1:1: error: invalid\n"


class TestFormats:
    """kubectl's options of output."""

    @pytest.fixture(autouse=True)
    def _resources(self, running: Daemon) -> None:
        running.accept(
            stored("net10", labels={"app": "shop", "example.com/tier": "web"}, status=ready(subnet="fd00:10::/64")),
            stored("net9", labels={"app": "blog"}, status=ready("False", subnet="fd00:9::/64", containers=2)),
            stored("net11", status=ready()),
            stored("home", "IPv6Pool", status=ready()),
        )

    @pytest.mark.parametrize("option", ["-o json", "-o=json", "-ojson", "--output=json", "--output json", "-o JSON"])
    def test_a_format_may_be_written_as_kubectl_allows_it(self, option: str) -> None:
        assert '"name": "net9"' in run(["get", "v6net", "net9", *option.split()]).stdout

    def test_jsonpath_of_one_and_of_many(self) -> None:
        one = run(["get", "v6net", "net9", "-o", "jsonpath={.status.subnet}"])
        assert one.stdout == "fd00:9::/64"  # without a newline, as in kubectl
        many = run(["get", "v6net", "-o", r'jsonpath={range .items[*]}{.metadata.name}{"\n"}{end}'])
        assert many.stdout == "net10\nnet11\nnet9\n"
        as_json = run(["get", "v6net", "-o", "jsonpath-as-json={.items[*].status.containers}"])
        assert as_json.stdout == "[\n    2\n]\n"

    def test_a_template_in_a_file(self, tmp_path: Path) -> None:
        file = tmp_path / "template"
        file.write_text("{.metadata.name}\n")
        assert run(["get", "v6net/net9", "-o", f"jsonpath-file={file}"]).stdout == "net9\n"

    def test_dangerous_characters_are_escaped(self, running: Daemon) -> None:
        running.accept(stored("evil", status=ready(message="\x1b]0;x\x07\u202e")))
        result = run(["get", "v6net", "evil", "-o", "jsonpath={.status.message}"])
        assert result.stdout == "\\x1b]0;x\\x07\\u202e"

    def test_columns_of_ones_own(self, tmp_path: Path) -> None:
        columns = 'Name:.metadata.name,READY:.status.conditions[?(@.type=="Ready")].status,C:{.status.containers}'
        result = run(["get", "v6net", "-o", f"custom-columns={columns}"])
        assert result.stdout.splitlines() == [
            "Name    READY   C",
            "net10   True    <none>",
            "net11   True    <none>",
            "net9    False   2",
        ]
        file = tmp_path / "columns"
        file.write_text("N   LABELS\nmetadata.name  .metadata.labels\n")
        assert run(
            ["get", "v6net,v6pool", "-o", f"custom-columns-file={file}", "--no-headers"]
        ).stdout.splitlines() == [
            'net10   {"app":"shop","example.com/tier":"web"}',
            "net11   <none>",
            'net9    {"app":"blog"}',
            "home    <none>",
        ]

    def test_sorting_is_numerical_and_puts_what_has_no_value_first(self) -> None:
        def names(*arguments: str) -> list[str]:
            return (
                run(["get", "v6net", "-o", "name", *arguments]).stdout.replace("ipv6network.dockerv6.io/", "").split()
            )

        assert names("--sort-by=.metadata.name") == ["net9", "net10", "net11"]
        assert names("--sort-by", "{.status.containers}") == ["net10", "net11", "net9"]
        assert names("--sort-by=status.subnet") == ["net11", "net9", "net10"]

    def test_tables_without_headings_and_with_labels(self) -> None:
        result = run(["get", "v6net", "--no-headers", "--show-labels", "-L", "app,example.com/tier", "-L=none"])
        assert [line.split()[-4:] for line in result.stdout.splitlines()] == [
            ["shop", "web", "<none>", "app=shop,example.com/tier=web"],
            ["<none>", "<none>", "<none>", "<none>"],
            ["blog", "<none>", "<none>", "app=blog"],
        ]
        assert run(["get", "v6net", "-L", "example.com/tier"]).stdout.split()[7] == "TIER"

    def test_several_kinds(self) -> None:
        assert run(["get", "v6net,v6pool", "-o", "name"]).stdout.splitlines()[-1] == "ipv6pool.dockerv6.io/home"
        assert run(["get", "v6net/net9", "v6pool/home", "-o", "name"]).exit_code == 0
        assert run(["get", "v6net", "net9", "--show-kind"]).stdout.splitlines()[1].startswith("ipv6network/net9 ")
        missing = run(["get", "v6net,v6pool", "home"])
        assert (missing.exit_code, missing.stderr) == (1, 'Error: ipv6networks "home" not found\n')
        assert run(["get", "v6net,v6pool", "home", "--ignore-not-found", "-o", "name"]).stdout.split() == [
            "ipv6pool.dockerv6.io/home"
        ]

    def test_events(self, running: Daemon) -> None:
        running.event(EventType.WARNING, "Odd", "something", 60, about=("IPv6Network", "net9"))
        running.event(EventType.NORMAL, "Even", "other", 30, 20, about=("IPv6Network", "net10"))
        assert run(["get", "events"]).stdout == run(["events"]).stdout
        assert run(["get", "ev", "v6net/net9", "-o", "jsonpath={.items[0].reason}"]).stdout == "Odd"
        assert run(["events", "--for", "v6net/net9"]).stdout == run(["events", "v6net/net9"]).stdout
        assert run(["events", "v6net", "--for", "v6net/net9"]).exit_code == 2
        for option in ("-l=a=b", "--show-labels", "--show-kind", "-L=app"):
            result = run(["get", "events", option])
            assert (result.exit_code, "remove --" in result.stderr) == (2, True)
        assert run(["get", "events", "nope", "--ignore-not-found"]).exit_code == 2
        sorted_ = run(["get", "events", "--sort-by=.count", "-o", "custom-columns=R:.reason,N:.count", "--no-headers"])
        assert sorted_.stdout.splitlines() == ["Odd    1", "Even   2"]

    def test_namespaces_are_explained(self) -> None:
        assert run(["get", "v6net", "-A"]).stderr == ""
        result = run(["get", "v6net", "-n", "default", "-o", "name"])
        assert (result.exit_code, result.stderr) == (
            0,
            "Warning: resources of dockerv6 have no namespace: -n is ignored\n",
        )

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ("-o jsn", "there is no format 'jsn'; did you mean json?"),
            ("-o go-template={{.x}}", "go-template is not supported; write -o jsonpath="),
            ("-o jsonpath", "jsonpath needs an argument, such as -o jsonpath="),
            ("-o jsonpath=", "jsonpath needs an argument"),
            ("-o jsonpath={.a", "is followed by '}'"),
            ("-o custom-columns=NAME", "'NAME' is not HEADING:PATH, such as NAME:.metadata.name"),
            ("-o custom-columns=A:.a[", "brackets have an index"),
            ("-o jsonpath-file=/nowhere", "can't read /nowhere: No such file or directory"),
            ("-o custom-columns-file=/etc/hostname", "two lines"),
            ("-o json=x", "there is no format 'json'"),
            ("--sort-by=.nowhere", "no resource has a value at '.nowhere'"),
            ("--sort-by=[", "brackets have an index"),
            ("--sort-by=.metadata.name -w", "can't be used with --watch"),
        ],
    )
    def test_what_is_wrong_is_usage(self, arguments: str, message: str) -> None:
        result = run(["get", "v6net", *arguments.split()])
        assert result.exit_code == 2
        assert message in result.stderr

    def test_a_template_without_braces_is_printed_with_a_warning(self) -> None:
        result = run(["get", "v6net", "net9", "-o", "jsonpath=.metadata.name"])
        assert result.stdout == ".metadata.name"
        assert "the template has no {…}" in result.stderr
