from collections.abc import Iterable
from dataclasses import replace

import pytest

from dockerv6.api.scheme import Resource, digest, to_document
from dockerv6.planning.admission import Admission, PruneRules, admit_resources, exceeds_prune_limit, implied_pool_object
from dockerv6.source.model import DirectoryState, InvalidResource, Position, Snapshot, SourcedResource, SourceRoot
from dockerv6.store.model import StoredObject, as_unreadable
from tests.simulation.resources import ROOT, invalid, network
from tests.unit.planning.scene import NOW

HERE = SourceRoot(ROOT, listed=True, identity="8:1", files=1)
TRUSTED = {ROOT: {ROOT: "8:1"}}
GRACE = 5.0


def stored(name: str, **changes: object) -> StoredObject:
    resource = network(name)
    one = StoredObject(
        kind="IPv6Network",
        name=name,
        document=to_document(resource),
        digest=digest(resource),
        generation=3,
        file=f"{ROOT}/{name}.yaml",
        line=1,
        created=NOW - 1000,
        revision=4,
    )
    return replace(one, **changes)  # type: ignore[arg-type]


def gone(name: str, **changes: object) -> StoredObject:
    """One whose absence has lasted for the grace period."""
    return stored(name, missing_since=NOW - GRACE, **changes)


def reading(
    *resources: Resource, root: SourceRoot = HERE, bad: Iterable[InvalidResource] = (), **more: object
) -> Snapshot:
    found = tuple(SourcedResource(r, Position(f"{ROOT}/{r.metadata.name}.yaml")) for r in resources)
    root = replace(root, files=root.files and max(1, len(found)))
    return Snapshot((root,), found, tuple(bad), **more)  # type: ignore[arg-type]


def take(
    snapshot: Snapshot,
    *old: StoredObject,
    identities: dict[str, dict[str, str]] | None = None,
    enabled: bool = True,
    confirmed: bool = False,
) -> Admission:
    rules = PruneRules(enabled, GRACE, confirmed)
    return admit_resources(snapshot, old, TRUSTED if identities is None else identities, NOW, rules)


def pruned(intake: Admission) -> list[str]:
    return [o.name for o in intake.writes if o.deleting_since is not None]


class TestAcceptance:
    def test_a_new_resource_is_stored_with_where_it_came_from(self) -> None:
        (new,) = take(reading(network("a"))).writes
        assert (new.generation, new.file, new.line, new.created, new.revision) == (1, f"{ROOT}/a.yaml", 1, NOW, 0)

    def test_an_unchanged_one_is_not_written(self) -> None:
        assert take(reading(network("a")), stored("a")).writes == ()

    def test_a_changed_one_has_the_next_generation(self) -> None:
        (new,) = take(reading(network("a", internal=True)), stored("a")).writes
        assert (new.generation, new.revision) == (4, 4)
        assert new.document["spec"] == {"internal": True}

    def test_a_default_that_is_written_out_is_no_change_of_what_is_asked_for(self) -> None:
        (new,) = take(reading(network("a", internal=False)), stored("a")).writes
        assert new.generation == 3

    def test_a_resource_that_moves_to_another_file_stays_the_same(self) -> None:
        (new,) = take(reading(network("a")), stored("a", file=f"{ROOT}/old.yaml")).writes
        assert (new.file, new.generation, new.deleting_since) == (f"{ROOT}/a.yaml", 3, None)

    def test_one_that_is_valid_again_has_no_problem(self) -> None:
        assert take(reading(network("a")), stored("a", problem="wrong")).writes[0].problem == ""


class TestInvalid:
    def test_an_invalid_version_keeps_the_last_good_one(self) -> None:
        (kept,) = take(reading(bad=[invalid("a")]), stored("a")).writes
        assert (kept.document, kept.generation, kept.deleting_since) == (stored("a").document, 3, None)
        assert "wrong" in kept.problem

    def test_an_invalid_version_ends_a_wait_for_its_deletion(self) -> None:
        assert take(reading(bad=[invalid("a")]), gone("a")).writes[0].missing_since is None

    def test_one_that_never_was_valid_is_only_shown(self) -> None:
        (shown,) = take(reading(bad=[invalid("a")])).writes
        assert (shown.generation, shown.digest) == (0, "")

    def test_one_that_never_was_valid_keeps_its_problem_until_it_is_gone(self) -> None:
        (shown,) = take(reading(bad=[invalid("a")])).writes
        (missing,) = take(reading(), shown).writes
        assert (missing.missing_since, missing.problem) == (NOW, shown.problem)

    def test_the_default_pool_that_can_not_be_read_is_the_implied_one_unless_a_file_declares_it(self) -> None:
        damaged = as_unreadable(replace(implied_pool_object(NOW - 9), revision=7), "its row is damaged")
        (again,) = take(reading(), damaged).writes
        assert again == replace(implied_pool_object(NOW - 9), revision=7)
        assert take(reading(root=replace(HERE, listed=False)), damaged).writes == ()

    def test_an_invalid_version_ends_a_deletion(self) -> None:
        (back,) = take(reading(bad=[invalid("a")]), gone("a", deleting_since=NOW - 1)).writes
        assert (back.deleting_since, back.missing_since, back.digest) == (None, None, stored("a").digest)
        assert back.problem

    def test_one_that_nobody_foresaw_can_not_be_stored_is_rejected_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def faulty(resource: Resource) -> dict[str, object]:
            if resource.metadata.name == "odd":
                raise OverflowError("too large")
            return to_document(resource)

        monkeypatch.setattr("dockerv6.planning.admission.to_document", faulty)
        good, odd = take(reading(network("good"), network("odd"))).writes
        assert (good.name, good.problem, good.generation) == ("good", "", 1)
        assert (odd.name, odd.generation, "OverflowError: too large" in odd.problem) == ("odd", 0, True)

    def test_of_duplicates_neither_is_accepted(self) -> None:
        (kept,) = take(reading(network("a", internal=True), bad=[invalid("a", "already written")]), stored("a")).writes
        assert (kept.document, "already written" in kept.problem) == (stored("a").document, True)

    def test_one_without_a_name_affects_no_resource(self) -> None:
        assert take(reading(bad=[replace(invalid("a"), name="")])).writes == ()

    @pytest.mark.parametrize("how", ["broken_files", "changing_files"])
    def test_what_a_file_held_that_can_not_be_read_now_is_kept(self, how: str) -> None:
        intake = take(replace(reading(), **{how: (f"{ROOT}/a.yaml",)}), gone("a"))  # type: ignore[arg-type]
        assert pruned(intake) == []
        assert intake.writes[0].missing_since is None
        assert not intake.complete

    def test_another_file_is_not_concerned(self) -> None:
        assert pruned(take(reading(broken_files=(f"{ROOT}/b.yaml",)), gone("a"))) == ["a"]


class TestDeletion:
    def test_an_absence_is_noted_and_waited_out(self) -> None:
        intake = take(reading(network("b")), stored("a"), stored("b"))
        (noted,) = intake.writes
        assert (noted.missing_since, noted.deleting_since, intake.retry_after) == (NOW, None, GRACE)

    def test_a_shorter_absence_than_the_grace_is_none(self) -> None:
        intake = take(reading(), stored("a", missing_since=NOW - 3))
        assert (intake.writes, intake.retry_after) == ((), 2.0)

    def test_an_absence_that_lasts_is_a_deletion(self) -> None:
        intake = take(reading(network("b")), gone("a"), stored("b"))
        assert (pruned(intake), intake.retry_after) == (["a"], None)

    def test_one_that_comes_back_within_the_grace_was_never_away(self) -> None:
        (back,) = take(reading(network("a")), stored("a", missing_since=NOW - 3)).writes
        assert back.missing_since is None

    def test_one_that_comes_back_while_it_is_deleted_stays(self) -> None:
        (back,) = take(reading(network("a")), gone("a", deleting_since=NOW - 1)).writes
        assert (back.missing_since, back.deleting_since) == (None, None)

    def test_a_tombstone_is_not_written_again(self) -> None:
        assert take(reading(), gone("a", deleting_since=NOW - 1)).writes == ()

    def test_the_last_file_removed_by_hand_does_prune(self) -> None:
        assert pruned(take(reading(root=replace(HERE, files=0)), gone("a"))) == ["a"]

    def test_an_object_that_the_operator_made_is_not_missed(self) -> None:
        assert take(reading(), stored("made", file="")).writes == ()

    def test_without_prune_nothing_is_deleted_nor_held(self) -> None:
        intake = take(reading(), *(gone(n) for n in "abcdef"), enabled=False)
        assert (pruned(intake), intake.prune_held, intake.retry_after) == ([], (), None)


class TestTrustedSources:
    @pytest.mark.parametrize(
        "root",
        [
            replace(HERE, listed=False, files=0, identity=""),
            replace(HERE, listed=False, files=0, problem="permission denied"),
            replace(HERE, identity="9:9", files=0),
        ],
        ids=["missing", "unreadable", "replaced by an empty one"],
    )
    def test_a_directory_that_can_not_be_trusted_prunes_nothing(self, root: SourceRoot) -> None:
        intake = take(reading(root=root), gone("a"))
        assert pruned(intake) == []
        assert intake.writes[0].missing_since is None  # the grace begins when it can be trusted again

    def test_a_directory_that_was_replaced_by_a_full_one_can_be_trusted(self) -> None:
        assert pruned(take(reading(network("b"), root=replace(HERE, identity="9:9")), gone("a"), stored("b"))) == ["a"]

    def test_a_directory_that_can_not_be_listed_makes_the_reading_incomplete(self) -> None:
        assert not take(reading(root=replace(HERE, listed=False))).complete
        assert take(reading()).complete

    def test_a_directory_is_known_by_what_it_was_with_files_in_it(self) -> None:
        assert take(reading(root=replace(HERE, files=0, identity="9:9"))).identities == TRUSTED
        assert take(reading(network("a"), root=replace(HERE, identity="9:9"))).identities == {ROOT: {ROOT: "9:9"}}
        assert take(reading(root=replace(HERE, listed=False, identity="9:9"))).identities == TRUSTED

    def test_a_directory_that_is_empty_from_the_start_is_known_too(self) -> None:
        assert take(reading(root=replace(HERE, files=0)), identities={}).identities == TRUSTED

    def test_a_directory_that_is_no_longer_configured_has_its_resources_deleted(self) -> None:
        assert pruned(take(reading(network("b")), gone("a", file="/srv/a.yaml"), stored("b"))) == ["a"]

    def test_but_not_while_another_one_can_not_be_listed(self) -> None:
        root = replace(HERE, listed=False)
        assert pruned(take(reading(root=root), gone("a", file="/srv/a.yaml"))) == []

    def test_directories_do_not_stand_for_one_another(self) -> None:
        other = SourceRoot("/srv", listed=False)
        snapshot = replace(reading(network("c")), roots=(HERE, other))
        assert pruned(take(snapshot, gone("a"), gone("b", file="/srv/b.yaml"), stored("c"))) == ["a"]

    def test_a_file_may_be_a_source_by_itself(self) -> None:
        root = SourceRoot(f"{ROOT}/a.yaml", listed=False)
        assert pruned(take(replace(reading(), roots=(root,)), gone("a"))) == []


SUB = f"{ROOT}/a/b"
BELOW = {ROOT: {ROOT: "8:1", f"{ROOT}/a": "8:2", SUB: "8:3"}}


def below(a: DirectoryState | None, b: DirectoryState | None) -> Snapshot:
    """A root with another file, and two directories in one another."""
    states = {f"{ROOT}/a": a, SUB: b}
    there = {path: state for path, state in states.items() if state is not None}
    return reading(network("other"), root=replace(HERE, subdirectories=there))


class TestSubdirectories:
    """The absence of SUB/x.yaml, when other files of the root are there."""

    OLD = gone("x", file=f"{SUB}/x.yaml")
    SAME_A, SAME_B = DirectoryState("8:2", 0), DirectoryState("8:3", 0)

    @pytest.mark.parametrize(
        ("a", "b"),
        [
            pytest.param(SAME_A, SAME_B, id="the file was removed"),
            pytest.param(SAME_A, None, id="the directory was removed"),
            pytest.param(None, None, id="the directory above was removed"),
            pytest.param(DirectoryState("9:9", 1), DirectoryState("9:10", 1), id="replaced by others with files"),
            pytest.param(DirectoryState("9:9", 1), None, id="the next checkout has no such directory"),
        ],
    )
    def test_a_deletion(self, a: DirectoryState | None, b: DirectoryState | None) -> None:
        assert pruned(take(below(a, b), self.OLD, identities=BELOW)) == ["x"]

    @pytest.mark.parametrize(
        ("a", "b"),
        [
            pytest.param(SAME_A, DirectoryState("9:9", 0), id="unmounted"),
            pytest.param(DirectoryState("9:9", 0), None, id="unmounted above"),
            pytest.param(SAME_A, DirectoryState("", 0), id="dangling link"),
            pytest.param(DirectoryState("", 0), None, id="dangling link above"),
        ],
    )
    def test_a_lost_directory_prunes_nothing_and_is_reported(self, a: DirectoryState, b: DirectoryState | None) -> None:
        admission = take(below(a, b), self.OLD, identities=BELOW)
        (kept,) = (o for o in admission.writes if o.name == "x")
        assert (kept.deleting_since, kept.missing_since) == (None, None)
        assert kept.problem_message == f"{kept.problem}; the resource is kept"
        assert "remove it" in kept.problem
        assert kept.problem_reason == "SourceUnavailable"
        assert admission.retry_after is None

    def test_a_directory_that_was_never_seen_with_the_resource_is_trusted(self) -> None:
        assert pruned(take(below(self.SAME_A, self.SAME_B), self.OLD)) == ["x"]

    def test_the_directories_of_resources_are_recorded(self) -> None:
        old = stored("x", file=f"{SUB}/x.yaml")
        unrelated = {f"{ROOT}/c": DirectoryState("8:4", 1)}
        snapshot = below(DirectoryState("8:2", 1), DirectoryState("8:3", 1))
        root = replace(snapshot.roots[0], subdirectories={**snapshot.roots[0].subdirectories, **unrelated})
        assert take(replace(snapshot, roots=(root,)), old).identities == BELOW

    def test_a_lost_directory_stays_known_by_what_it_was(self) -> None:
        lost = below(self.SAME_A, DirectoryState("9:9", 0))
        assert take(lost, self.OLD, identities=BELOW).identities == BELOW
        assert take(below(self.SAME_A, DirectoryState("", 0)), self.OLD, identities=BELOW).identities == BELOW

    def test_directories_without_resources_are_forgotten(self) -> None:
        assert take(below(self.SAME_A, None), identities=BELOW).identities == TRUSTED


class TestLostRoots:
    MISSING = replace(HERE, listed=False, problem=f"{ROOT} does not exist; create it", identity="")

    def test_what_is_kept_says_why(self) -> None:
        (kept,) = take(reading(root=self.MISSING), gone("a")).writes
        assert (kept.problem, kept.problem_reason) == (
            f"{ROOT} does not exist; create it",
            "SourceUnavailable",
        )
        assert (kept.missing_since, take(reading(root=self.MISSING), kept).writes) == (None, ())

    def test_what_is_still_being_written_is_not_lost(self) -> None:
        assert take(reading(root=self.MISSING, retry_after=1.0), stored("a")).writes == ()

    def test_a_stored_version_that_can_not_be_read_says_so(self) -> None:
        assert take(reading(root=self.MISSING), as_unreadable(stored("a"), "damaged")).writes == ()


class TestFilesWithoutResources:
    def test_a_truncated_file_keeps_its_resources(self) -> None:
        snapshot = reading(network("b"), files_without_resources=frozenset({f"{ROOT}/a.yaml"}))
        (kept,) = (o for o in take(snapshot, gone("a")).writes if o.name == "a")
        assert (kept.deleting_since, kept.missing_since) == (None, None)
        assert "delete the file" in kept.problem
        assert kept.problem_reason == "SourceUnavailable"

    def test_the_problem_ends_with_the_source(self) -> None:
        lost = stored("a", problem="truncated", problem_reason="SourceUnavailable")
        assert take(reading(network("a")), lost).writes == (stored("a"),)
        (invalid_now,) = take(reading(bad=[invalid("a")]), lost).writes
        assert invalid_now.problem_reason == "InvalidSpec"

    def test_the_problem_ends_with_the_file(self) -> None:
        (old,) = take(reading(network("b")), stored("b"), stored("a", problem="truncated")).writes
        assert (old.name, old.missing_since, old.problem) == ("a", NOW, "")


class TestPruneLimit:
    @pytest.mark.parametrize(
        ("doomed", "alive", "held"),
        [(3, 3, False), (4, 4, True), (4, 7, True), (4, 8, False), (5, 8, True), (0, 0, False)],
    )
    def test_more_than_three_and_more_than_half_is_too_many(self, doomed: int, alive: int, *, held: bool) -> None:
        assert exceeds_prune_limit(doomed, alive) is held

    def test_too_many_at_once_are_held(self) -> None:
        intake = take(reading(), *(gone(n) for n in "abcd"))
        assert pruned(intake) == []
        assert intake.prune_held == tuple(f"IPv6Network/{n}" for n in "abcd")

    def test_until_a_person_confirms(self) -> None:
        intake = take(reading(), *(gone(n) for n in "abcd"), confirmed=True)
        assert (pruned(intake), intake.prune_held) == (list("abcd"), ())

    def test_tombstones_do_not_count(self) -> None:
        dead = [gone(n, deleting_since=NOW - 1) for n in "wxyz"]
        assert pruned(take(reading(), *dead, *(gone(n) for n in "abc"))) == list("abc")

    def test_what_is_still_in_its_grace_does_not_count(self) -> None:
        waiting = [stored(n, missing_since=NOW - 1) for n in "wxyz"]
        assert pruned(take(reading(), *waiting, gone("a"))) == ["a"]
