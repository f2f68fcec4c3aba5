"""An engine that hangs: rules are repaired before it answers, during a run and after a restart."""

import pytest

from dockerv6.controller.recorded_intents import INTENTS
from dockerv6.firewall.elements import PUBLISHED_TO
from dockerv6.firewall.ruleset import EMPTY
from dockerv6.store.port import StoreError
from tests.simulation.resources import network, policy
from tests.world import Host

PORTS = {"tcp 8080 ::": "web:80"}
READY = ("True", "ReconcileSucceeded")


async def stopped(*more: str) -> Host:
    """A host whose operator has published a port of a container, and was stopped."""
    host = Host()
    host.files.write(network("blog"), *(network(name) for name in more))
    async with host.running() as at_work:
        await at_work.let(2)
        host.engine.run_container("web", "blog", ports=("8080:80",))
        await at_work.let(2)
        assert host.ports() == PORTS
    return host


class TestRestart:
    async def test_what_was_deleted_meanwhile_is_back_before_the_engine_answers(self) -> None:
        host = await stopped("wiki")
        before = host.firewall.ruleset
        host.flush_rules()
        host.engine.hang()
        async with host.running() as at_work:
            await at_work.let(0)
            assert host.firewall.ruleset == before
            host.flush_rules()
            await at_work.let(0)
            assert host.firewall.ruleset == before
            commits = host.firewall.commits
            host.engine.resume()
            await at_work.let(5)
            assert host.firewall.ruleset == before
            assert host.firewall.commits == commits
            assert await host.ready("blog") == READY

    async def test_one_deleted_element_is_back_too(self) -> None:
        host = await stopped()
        before = host.firewall.ruleset
        published = before.set(PUBLISHED_TO)
        assert published is not None
        for element in published.elements:
            host.firewall.delete_element(PUBLISHED_TO, element)
        assert host.ports() == {}
        host.engine.hang()
        async with host.running() as at_work:
            await at_work.let(0)
            assert host.firewall.ruleset == before

    async def test_a_policys_networks_are_recorded_too(self) -> None:
        host = Host()
        await host.create_foreign("shop", "fd99::/64")
        host.files.write(policy("all"))
        async with host.running() as at_work:
            await at_work.let(2)
            before = host.rules_of("policy/all")
            assert before
        host.flush_rules()
        host.engine.hang()
        async with host.running() as at_work:
            await at_work.let(0)
            assert host.rules_of("policy/all") == before

    async def test_a_container_that_ended_meanwhile_loses_its_port_once_the_engine_answers(self) -> None:
        host = await stopped()
        host.engine.stop_container(host.engine.container_ids()["web"])
        host.flush_rules()
        host.engine.hang()
        async with host.running() as at_work:
            await at_work.let(1)
            assert host.ports()
            host.engine.resume()
            await at_work.let(1)
            assert host.ports() == {}

    async def test_a_resource_whose_file_was_deleted_keeps_its_rules_until_it_is_removed_as_usual(self) -> None:
        host = await stopped("wiki")
        before = host.rules_of("wiki")
        host.files.delete("wiki")
        host.flush_rules()
        host.engine.hang()
        async with host.running() as at_work:
            await at_work.let(60)
            assert host.rules_of("wiki") == before
            host.engine.resume()
            await at_work.let(60)
            assert host.rules_of("wiki") == frozenset()
            assert await host.docker("wiki") is None
            await at_work.let(2)
        assert set(await host.store.records(INTENTS)) == {"blog"}

    async def test_a_suspended_resource_is_left_as_it_is(self) -> None:
        host = await stopped("wiki")
        host.files.write(network("blog", suspend=True))
        async with host.running() as at_work:
            await at_work.let(2)
        host.flush_rules()
        host.engine.hang()
        async with host.running() as at_work:
            await at_work.let(1)
            assert host.rules_of("blog") == frozenset()
            assert host.rules_of("wiki")

    async def test_a_damaged_record_concerns_its_owner_only(self, caplog: pytest.LogCaptureFixture) -> None:
        host = await stopped("wiki")
        before = host.firewall.ruleset
        wiki = host.rules_of("wiki")
        await host.store.put_record(INTENTS, "blog", {"boot": "", "networks": [{"owner": "blog", "subnet": "x"}]})
        await host.store.put_record(INTENTS, "gone", {})
        host.flush_rules()
        host.engine.hang()
        async with host.running() as at_work:
            await at_work.let(1)
            assert host.rules_of("wiki") == wiki
            assert host.ports() == {}
            host.engine.resume()
            await at_work.let(3)
            assert host.firewall.ruleset == before
        assert "the recorded rules of blog are damaged" in caplog.text
        records = await host.store.records(INTENTS)
        assert records["blog"]["ports"]
        assert set(records) == {"blog", "wiki"}

    async def test_ports_of_an_earlier_boot_are_not_published(self) -> None:
        host = Host()
        host.net.set_boot_id("one")
        host.files.write(network("blog"))
        async with host.running() as at_work:
            await at_work.let(2)
            host.engine.run_container("web", "blog", ports=("8080:80",))
            await at_work.let(2)
        host.flush_rules()
        host.net.set_boot_id("two")
        host.engine.hang()
        async with host.running() as at_work:
            await at_work.let(1)
            assert host.ports() == {}

    async def test_rules_that_are_newer_than_their_record_stay(self) -> None:
        host = await stopped()
        record = (await host.store.records(INTENTS))["blog"]
        await host.store.put_record(INTENTS, "blog", {**record, "ports": []})
        host.engine.hang()
        async with host.running() as at_work:
            await at_work.let(1)
            assert host.ports() == PORTS

    async def test_rules_that_nobody_deleted_stay_without_a_record(self) -> None:
        host = await stopped()
        await host.store.drop_record(INTENTS, "blog")
        before, commits = host.firewall.ruleset, host.firewall.commits
        host.engine.hang()
        async with host.running() as at_work:
            await at_work.let(120)
            assert host.firewall.ruleset == before
            assert host.firewall.commits == commits


class TestRunning:
    async def test_a_flush_is_repaired_although_everything_is_read_again_after_a_resync(self) -> None:
        host = Host()
        host.files.write(network("blog"))
        async with host.running() as at_work:
            await at_work.let(2)
            before = host.firewall.ruleset
            host.engine.hang()
            at_work.operator.triggers.resync_now("resync")
            await at_work.let(1)
            for _ in range(3):
                host.flush_rules()
                await at_work.let(0)
                assert host.firewall.ruleset == before
            host.engine.resume()
            await at_work.let(5)
            assert host.firewall.ruleset == before
            assert await host.ready("blog") == READY

    async def test_a_policy_that_is_deleted_loses_its_rules(self) -> None:
        host = Host()
        await host.create_foreign("shop", "fd99::/64")
        host.files.write(policy("all"))
        async with host.running() as at_work:
            await at_work.let(2)
            host.files.delete("all")
            await at_work.let(30)
            assert host.firewall.ruleset == EMPTY
        assert await host.store.records(INTENTS) == {}


class TestWrites:
    async def test_a_resync_that_changes_nothing_writes_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        host = Host()
        host.files.write(network("blog"), network("wiki"))
        written: list[str] = []
        put_record = host.store.put_record

        async def noted(scope: str, name: str, value: dict[str, object]) -> None:
            if scope == INTENTS:
                written.append(name)
            await put_record(scope, name, value)

        monkeypatch.setattr(host.store, "put_record", noted)
        async with host.running() as at_work:
            await at_work.let(5)
            written.clear()
            at_work.operator.triggers.resync_now("resync")
            await at_work.let(5)
            assert written == []
            host.engine.run_container("web", "blog", ports=("8080:80",))
            await at_work.let(5)
            assert written == ["blog"]

    async def test_a_store_that_refuses_delays_no_repair_and_is_tried_again(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        host = Host()
        host.files.write(network("blog"))
        put_record = host.store.put_record

        async def full(scope: str, name: str, value: dict[str, object]) -> None:
            if scope == INTENTS:
                raise StoreError("the disk is full: free some space")
            await put_record(scope, name, value)

        monkeypatch.setattr(host.store, "put_record", full)
        async with host.running() as at_work:
            await at_work.let(5)
            host.flush_rules()
            await at_work.let(0)
            assert host.rules_of("blog")
            assert "could not be recorded for the next start: the disk is full" in caplog.text
            monkeypatch.setattr(host.store, "put_record", put_record)
            await at_work.let(60)
            assert set(await host.store.records(INTENTS)) == {"blog"}

    async def test_rules_that_are_too_many_for_a_record_are_not_recorded(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr("dockerv6.controller.recorded_intents.RECORD_LIMIT", 100)
        host = Host()
        host.files.write(network("blog"))
        async with host.running() as at_work:
            await at_work.let(5)
        assert await host.store.records(INTENTS) == {}
        assert caplog.text.count("the rules of blog are not recorded") == 1
