import json

import pytest

from dockerv6.store.tables import read_objects
from tests.unit.cli.harness import NOW, Daemon, FakeTime, ready, run, stored


def test_resources_of_a_kind_are_a_table(daemon: Daemon) -> None:
    daemon.accept(stored("blog", status=ready(subnet="fd00::/64", containers=0)), stored("p", "IPv6Pool"))
    result = run(["get", "v6net"])
    assert result.stdout.splitlines() == [
        "NAME   READY   REASON               SUBNET      CONTAINERS   AGE",
        "blog   True    ReconcileSucceeded   fd00::/64   0            120m",
    ]


def test_what_was_never_looked_at_shows_none(daemon: Daemon) -> None:
    daemon.accept(stored("blog", status={}))
    assert run(["get", "v6net"]).stdout.splitlines()[1].split() == [
        "blog",
        "<none>",
        "<none>",
        "<none>",
        "<none>",
        "120m",
    ]


def test_all_kinds_are_a_table_each_and_names_carry_their_kind(daemon: Daemon) -> None:
    daemon.accept(stored("blog"), stored("p", "IPv6Pool"))
    first, second = run(["get", "all"]).stdout.split("\n\n")
    assert first.splitlines()[1].startswith("ipv6network/blog ")
    assert second.splitlines()[1].startswith("ipv6pool/p ")


def test_names_are_what_other_verbs_take(daemon: Daemon) -> None:
    daemon.accept(stored("a"), stored("b"))
    names = run(["get", "v6net", "-o", "name"]).stdout.split()
    assert names == ["ipv6network.dockerv6.io/a", "ipv6network.dockerv6.io/b"]
    assert run(["get", *names, "-o", "name"]).stdout.split() == names


def test_one_by_name_is_an_object_and_several_are_a_list(daemon: Daemon) -> None:
    daemon.accept(stored("a", labels={"app": "x"}, deleting_since=NOW), stored("b"))
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


def test_yaml_holds_what_json_holds(daemon: Daemon) -> None:
    import yaml  # noqa: PLC0415 - only here

    daemon.accept(stored("a", spec={"egress": {"mode": "None"}}))
    shown = yaml.safe_load(run(["get", "v6net", "a", "-o", "yaml"]).stdout)
    assert shown == json.loads(run(["get", "v6net", "a", "-o", "json"]).stdout)


def test_labels_select(daemon: Daemon) -> None:
    daemon.accept(stored("a", labels={"app": "x"}), stored("b"))
    assert run(["get", "v6net", "-l", "app=x", "-o", "name"]).stdout == "ipv6network.dockerv6.io/a\n"
    assert run(["get", "v6net", "-l", "app!=x", "-o", "name"]).stdout == "ipv6network.dockerv6.io/b\n"
    assert run(["get", "v6net", "-l", "a b"]).exit_code == 2


def test_a_name_that_is_not_there_is_an_error(daemon: Daemon) -> None:
    daemon.accept(stored("a"))
    result = run(["get", "v6net", "x"])
    assert (result.exit_code, result.stderr) == (1, 'Error: ipv6networks "x" not found\n')
    assert run(["get", "v6net", "a", "x"]).exit_code == 1


def test_nothing_there_is_no_error(daemon: Daemon) -> None:
    daemon.accept()
    result = run(["get", "v6pol"])
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "No resources found\n")
    assert json.loads(run(["get", "v6pol", "-o", "json"]).stdout)["items"] == []


def test_without_a_state_the_remedy_is_told(daemon: Daemon) -> None:
    result = run(["get", "v6net"])
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: there is no {daemon.file}: the daemon has not run yet, or it uses another state directory; "
        "start the daemon with `dockerv6 run`, or select its directory with --state-dir\n"
    )


def test_what_a_file_says_does_not_steer_the_terminal(daemon: Daemon) -> None:
    daemon.accept(stored("a", status=ready(subnet="x\x1b[31m\ny")))
    assert "x[31m y" in run(["get", "v6net"]).stdout


def watched(daemon: Daemon, *arguments: str) -> list[str]:
    """The lines printed while one resource changes, one comes and one goes."""
    daemon.accept(stored("a"), stored("b"))
    time = FakeTime(
        lambda: daemon.accept(stored("a", status=ready("False", reason="SubnetOverlap"))),
        lambda: None,
        lambda: daemon.accept(stored("c")),
        lambda: daemon.remove("IPv6Network", "b"),
    )
    time.interrupt = True
    result = run(["get", "v6net", "-w", *arguments], time)
    assert result.exit_code == 130
    return result.stdout.splitlines()


def test_a_watch_shows_everything_and_then_each_change(daemon: Daemon) -> None:
    lines = watched(daemon)
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
def test_a_watch_in_a_machines_format_is_one_object_after_the_other(daemon: Daemon, form: str) -> None:
    import yaml  # noqa: PLC0415 - only here

    text = "\n".join(watched(daemon, "-o", form))
    if form == "json":
        decoder, position, found = json.JSONDecoder(), 0, []
        while position < len(text):
            item, end = decoder.raw_decode(text, position)
            found.append(item)
            position = end + 1
    else:
        found = list(yaml.safe_load_all(text))
    assert [item["metadata"]["name"] for item in found] == ["a", "b", "a", "c", "b"]


def test_a_watch_for_names_prints_names(daemon: Daemon) -> None:
    assert watched(daemon, "-o", "name")[-1] == "ipv6network.dockerv6.io/b"


def test_a_watch_reads_once_a_second_at_most_while_the_files_change_times_stay(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.accept(stored("a"))
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
