from collections.abc import Mapping

from dockerv6.api.kinds import API_VERSION, NETWORK
from dockerv6.api.scheme import decode, digest
from dockerv6.cli.convergence import ApplyStatus, standings
from dockerv6.source.model import Diagnostic, InvalidResource, Position, Severity, Snapshot, SourcedResource
from tests.unit.cli.harness import NOW, condition, ready, stored

WHERE = Position("a.yaml", 3, 5)
BLOG = decode({"apiVersion": API_VERSION, "kind": NETWORK, "metadata": {"name": "blog"}}).resource
WANTED = Snapshot(resources=(SourcedResource(BLOG, WHERE),))


def standing(snapshot: Snapshot, **fields: object) -> ApplyStatus:
    [found] = standings(snapshot, [stored("blog", **fields)] if fields else [])  # type: ignore[arg-type]
    return found


def accepted(status: Mapping[str, object], **fields: object) -> ApplyStatus:
    return standing(WANTED, digest=digest(BLOG), status=status, **fields)


def test_ready_for_the_newest_version_is_an_end() -> None:
    found = accepted(ready())
    assert (found.ready, found.final, found.reason) == (True, True, "ReconcileSucceeded")


def test_what_the_daemon_has_not_seen_yet_is_not_ready() -> None:
    assert standing(WANTED) == ApplyStatus(
        NETWORK, "blog", False, "Progressing", "the daemon has not taken its file in yet", False
    )
    assert not standing(WANTED, digest="older", status=ready()).final
    assert not accepted(ready(), deleting_since=NOW).ready
    assert not accepted(ready(), problem="of the version before").ready


def test_a_status_of_an_earlier_version_is_no_end() -> None:
    found = accepted(ready(observed=1), generation=2)
    assert (found.ready, found.final) == (False, False)


def test_false_may_still_become_true_unless_it_is_stalled() -> None:
    assert not accepted(ready("False", reason="EngineUnavailable")).final
    conditions = [condition("Ready", "False", "SubnetOverlap"), condition("Stalled", "True", "SubnetOverlap")]
    found = accepted({"observedGeneration": 1, "conditions": conditions})
    assert (found.ready, found.final, found.reason) == (False, True, "SubnetOverlap")


def test_an_invalid_file_is_an_end_that_tells_why() -> None:
    wrong = Diagnostic(WHERE, Severity.ERROR, ("spec", "x"), "bad", "mend it")
    snapshot = Snapshot(invalid=(InvalidResource(NETWORK, "blog", WHERE, (wrong,)), InvalidResource("", "", WHERE, ())))
    found = standing(snapshot, status=ready())
    assert (found.ready, found.final, found.reason) == (False, True, "InvalidSpec")
    assert found.message == "a.yaml:3:5: error: spec.x: bad; mend it"


def test_what_has_lost_its_file_is_waited_for_to_go() -> None:
    assert standing(Snapshot(), status=ready()).message == "its file is gone, and so will it be in a moment"
    waiting = standing(Snapshot(), deleting_since=NOW, status=ready("False", reason="EndpointsAttached"))
    assert (waiting.ready, waiting.final, waiting.reason) == (False, False, "EndpointsAttached")


def test_a_held_prune_is_an_end() -> None:
    held = {"conditions": [condition("Ready", "True", "InSync"), condition("PruneHeld", "True", "PruneHeld")]}
    found = standing(Snapshot(), status=held)
    assert (found.ready, found.final, found.reason) == (False, True, "PruneHeld")


def test_what_the_operator_made_itself_has_no_file_to_lose() -> None:
    assert standings(Snapshot(), [stored("default", "IPv6Pool", file="")]) == ()
