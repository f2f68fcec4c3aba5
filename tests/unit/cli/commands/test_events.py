import json

import pytest

from dockerv6.store.model import EventType
from tests.unit.cli.harness import NOW, Daemon, FakeTime, run

BLOG = ("IPv6Network", "blog")


@pytest.fixture
def daemon_with_events(running: Daemon) -> Daemon:
    running.event(EventType.NORMAL, "Created", "network made", 7200, about=BLOG)
    running.event(
        EventType.WARNING, "EndpointsAttached", "web is attached", 600, 300, 60, about=("IPv6Network", "shop")
    )
    running.event(EventType.WARNING, "PruneHeld", "too many", 30, about=("Host", "garbage"))
    return running


def objects(*arguments: str) -> list[str]:
    items = json.loads(run(["events", "-o", "json", *arguments]).stdout)["items"]
    return [f"{item['involvedObject']['kind']}/{item['involvedObject']['name']}" for item in items]


def test_events_are_newest_last_with_ages_and_counts(daemon_with_events: Daemon) -> None:
    assert daemon_with_events.file.exists()
    assert run(["events"]).stdout.splitlines() == [
        "LAST SEEN           TYPE      REASON              OBJECT             MESSAGE",
        "120m                Normal    Created             ipv6network/blog   network made",
        "60s (x3 over 10m)   Warning   EndpointsAttached   ipv6network/shop   web is attached",
        "30s                 Warning   PruneHeld           host/garbage       too many",
    ]


@pytest.mark.usefixtures("daemon_with_events")
def test_events_are_filtered() -> None:
    assert objects("v6net") == ["IPv6Network/blog", "IPv6Network/shop"]
    assert objects("v6net", "shop") == objects("v6net/shop") == ["IPv6Network/shop"]
    assert objects("host") == ["Host/garbage"]
    assert objects("--since", "1h") == ["IPv6Network/shop", "Host/garbage"]
    assert objects("--types", "normal") == ["IPv6Network/blog"]


@pytest.mark.usefixtures("daemon_with_events")
def test_an_event_has_the_fields_of_kubernetes() -> None:
    assert json.loads(run(["events", "v6net", "shop", "-o", "json"]).stdout)["items"] == [
        {
            "apiVersion": "dockerv6.io/v1alpha1",
            "kind": "Event",
            "type": "Warning",
            "reason": "EndpointsAttached",
            "message": "web is attached",
            "involvedObject": {"kind": "IPv6Network", "name": "shop"},
            "count": 3,
            "firstTimestamp": "2023-11-14T22:03:20Z",
            "lastTimestamp": "2023-11-14T22:12:20Z",
        }
    ]


@pytest.mark.usefixtures("daemon_with_events")
@pytest.mark.parametrize("words", [["nonsense"], ["v6net", "a", "b"]])
def test_other_arguments_are_wrong_usage(words: list[str]) -> None:
    assert run(["events", *words]).exit_code == 2


def test_no_events_is_no_error(running: Daemon) -> None:
    running.accept()
    result = run(["events"])
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "No events found\n")


@pytest.mark.parametrize("form", ["table", "json", "yaml"])
def test_a_watch_prints_new_and_repeated_events(daemon_with_events: Daemon, form: str) -> None:
    time = FakeTime(
        lambda: daemon_with_events.event(EventType.NORMAL, "Created", "network made", -1, about=BLOG),
        lambda: daemon_with_events.event(EventType.NORMAL, "Deleted", "network gone", -2, about=BLOG),
    )
    time.interrupt = True
    result = run(["events", "-w", "v6net", "blog", "-o", form], time)
    assert result.exit_code == 130
    if form == "table":
        assert [line.split()[-1] for line in result.stdout.splitlines()] == ["MESSAGE", "made", "made", "gone"]
    else:
        assert result.stdout.count("network made") == 2
        assert result.stdout.count("network gone") == 1
    assert time.now() > NOW
