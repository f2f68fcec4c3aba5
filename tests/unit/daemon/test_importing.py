"""`dockerv6 import` with a fake engine, and with Compose files."""

import asyncio
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import pytest

from dockerv6.api.network import ManagementPolicy
from dockerv6.daemon import importing
from dockerv6.daemon.importing import ComposeFileError, ImportResult, NotFoundError, import_files, import_host
from dockerv6.daemon.settings import Settings
from dockerv6.dockerd.model import COMPOSE_PROJECT, NetworkSpec, SubnetConfig
from dockerv6.dockerd.port import EngineUnavailable
from dockerv6.firewall.ipv6nat.presence import IPv6NatPresence
from dockerv6.firewall.ipv6nat.rules import IPv6NatRules
from dockerv6.firewall.model import FilterVariant
from tests.fakes.dockerd.engine import FakeEngine
from tests.fakes.dockerd.versions import ENGINE_20_10
from tests.property.test_importing import ipv6

Patch = pytest.MonkeyPatch
FOUND = IPv6NatRules(FilterVariant.XTABLES_NFT, (), (("nat", "DOCKER"),), ("br-a",), engine_rules=False)


class Filters:
    """What the packet filter shows."""

    def __init__(self) -> None:
        self.readable = True
        self.presence: IPv6NatPresence | None = None
        self.variants: frozenset[FilterVariant] = frozenset({FilterVariant.XTABLES_NFT})

    async def detect(self, _: object) -> IPv6NatPresence | None:
        assert self.readable
        return self.presence

    async def engine_variants(self, _: object) -> frozenset[FilterVariant]:
        assert self.readable
        return self.variants


@pytest.fixture
def engine(monkeypatch: Patch) -> FakeEngine:
    """An engine with a network of a Compose project, and one without."""
    fake = FakeEngine(ENGINE_20_10)
    monkeypatch.setattr(importing, "DockerEngine", lambda _: fake)
    for number, (name, labels) in enumerate({"shop_front": {COMPOSE_PROJECT: "shop"}, "blog": {}}.items()):
        ipam = (SubnetConfig(ipv6(number, 64)),)
        asyncio.run(fake.create_network(NetworkSpec(name, ipam=ipam, labels=labels)))
    fake.run_container("web", "blog", ports=("8080:80",))
    return fake


@pytest.fixture
def filters(monkeypatch: Patch) -> Filters:
    fake = Filters()
    monkeypatch.setattr(importing, "may_read_filters", lambda: fake.readable)
    monkeypatch.setattr(importing, "detect", fake.detect)
    monkeypatch.setattr(importing, "engine_variants", fake.engine_variants)
    return fake


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(config_dirs=(str(tmp_path / "resources"),))


def names(result: ImportResult) -> list[str]:
    return [each.name for each in result.found.resources]


@pytest.mark.usefixtures("filters")
def test_all_networks_are_imported_or_those_that_are_named(engine: FakeEngine, settings: Settings) -> None:
    before = asyncio.run(engine.networks())
    assert names(import_host(settings, (), "")) == ["blog", "shop-front"]
    assert names(import_host(settings, ("blog",), "")) == ["blog"]
    network = asyncio.run(engine.network("blog"))
    assert network is not None
    assert names(import_host(settings, (network.id[:12],), "")) == ["blog"]
    assert names(import_host(settings, (), "shop")) == ["shop-front"]
    assert asyncio.run(engine.networks()) == before


@pytest.mark.usefixtures("filters", "engine")
@pytest.mark.parametrize(
    ("wanted", "project", "expected"),
    [
        (("blgo",), "", "no Docker network blgo; did you mean blog?"),
        (("blog",), "shop", "no Docker network blog; use shop_front"),
        ((), "shoop", "Compose project shoop; did you mean shop?"),
    ],
)
def test_what_does_not_exist_is_an_error_with_a_suggestion(
    wanted: Sequence[str], project: str, expected: str, settings: Settings
) -> None:
    with pytest.raises(NotFoundError) as raised:
        import_host(settings, wanted, project)
    assert expected in str(raised.value)


@pytest.mark.usefixtures("filters")
def test_without_any_compose_project_the_file_is_suggested(monkeypatch: Patch, settings: Settings) -> None:
    monkeypatch.setattr(importing, "DockerEngine", lambda _: FakeEngine())
    with pytest.raises(NotFoundError, match="import its file with -f"):
        import_host(settings, (), "shop")


@pytest.mark.usefixtures("engine")
def test_whether_the_engine_translates_is_read_from_the_packet_filter(filters: Filters, settings: Settings) -> None:
    def notes() -> str:
        return "".join(str(note) for n in import_host(settings, (), "").found.networks for note in n.notes)

    assert "no IPv6 rules" not in notes()
    filters.variants = frozenset()
    assert "no IPv6 rules" in notes()


def test_without_the_privilege_the_release_decides_and_a_note_says_so(
    engine: FakeEngine, filters: Filters, settings: Settings
) -> None:
    filters.readable = False
    engine.run_container("ipv6nat", network_mode="host")
    result = import_host(settings, (), "")
    assert "run as root" in result.remarks[0]
    hint = "container ipv6nat seems to be docker-ipv6nat, by its name"
    assert result.remarks[1:] == (hint,)
    assert "no IPv6 rules" in "".join(str(note) for n in result.found.networks for note in n.notes)
    filters.readable = True
    assert import_host(settings, (), "").remarks == (hint,)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("presence", [IPv6NatPresence((FOUND,)), IPv6NatPresence((), (4711,))])
def test_docker_ipv6nat_is_replaced_by_a_policy(
    presence: IPv6NatPresence, filters: Filters, settings: Settings
) -> None:
    filters.presence = presence
    result = import_host(settings, (), "")
    assert result.found.policy is not None
    assert result.found.policy.networks == ("blog",)  # the other has public addresses
    assert "docs/docker-ipv6nat.md" in result.remarks[0]
    managed = import_host(settings, (), "", ManagementPolicy.MANAGE)
    assert managed.found.policy is None


@pytest.mark.usefixtures("engine", "filters")
def test_networks_that_have_a_resource_are_left_out(settings: Settings, tmp_path: Path) -> None:
    directory = tmp_path / "resources"
    directory.mkdir()
    envelope = "apiVersion: dockerv6.io/v1alpha1\n"
    observe = "kind: IPv6Network\nmetadata: {name: mine}\nspec: {managementPolicy: Observe, networkName: blog}\n"
    (directory / "mine.yaml").write_text(envelope + observe)
    (directory / "shop-front.yaml").write_text(
        f"{envelope}kind: IPv6Policy\nmetadata: {{name: shop-front}}\nspec: {{selector: {{names: [none-such]}}}}\n"
    )
    result = import_host(settings, (), "")
    assert names(result) == [next(iter(names(result)))]
    assert names(result)[0].startswith("shop-front-")
    assert result.remarks == ()
    (directory / "wrong.yaml").write_text(f"{envelope}kind: IPv6Network\nmetadata: {{name: wrong}}\nspec: 5\n")
    assert "dockerv6 validate" in import_host(settings, (), "").remarks[0]
    (directory / "shop-front.yaml").write_text(f"{envelope}kind: IPv6Policy\nmetadata: {{name: all}}\nspec: {{}}\n")
    last = import_host(settings, (), "")
    assert names(last) == []
    assert {n.network: n.skipped.partition(";")[0] for n in last.found.networks if "IPv6P" in n.skipped} == {
        "shop_front": "IPv6Policy all applies to it already"
    }


@pytest.mark.usefixtures("filters")
def test_an_engine_that_does_not_answer_is_an_error(engine: FakeEngine, settings: Settings) -> None:
    engine.fail_next("networks", EngineUnavailable("connection refused"))
    with pytest.raises(EngineUnavailable):
        import_host(settings, (), "")


COMPOSE = """
services:
  web: {image: web, ports: ["127.0.0.1:80:80"], networks: [front]}
networks:
  front: {enable_ipv6: true, ipam: {config: [{subnet: "fd12::/64"}]}}
  back: {}
"""


def files(settings: Settings, *paths: Path, project: str = "", manage: bool = False) -> ImportResult:
    policy = ManagementPolicy.MANAGE if manage else ManagementPolicy.OBSERVE
    return import_files(settings, [str(path) for path in paths], BytesIO(), project, policy)


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_compose_file_needs_no_engine(settings: Settings, tmp_path: Path) -> None:
    result = files(settings, write(tmp_path / "Shop" / "compose.yaml", COMPOSE))
    front, back = result.found.networks
    assert front.resource is not None
    assert front.resource.spec == {"managementPolicy": "Observe", "networkName": "shop_front"}
    assert "127.0.0.1:80:80" in str(front.notes[-1])
    assert back.skipped.startswith("no service uses it")
    again = files(settings, tmp_path / "Shop" / "compose.yaml", project="other", manage=True)
    (managed,) = again.found.resources
    assert managed.spec == {"networkName": "other_front", "addressing": {"subnet": "fd12::/64"}}
    assert "external: true" in again.remarks[0]


def test_a_compose_file_without_a_subnet_gets_one_from_the_pool(settings: Settings, tmp_path: Path) -> None:
    text = "services: {web: {}}\nnetworks: {default: {enable_ipv6: true}}"
    (managed,) = files(settings, write(tmp_path / "shop" / "a.yaml", text), manage=True).found.resources
    assert managed.spec == {"networkName": "shop_default"}


def test_a_file_in_json_is_read_whatever_its_name(settings: Settings, tmp_path: Path) -> None:
    text = '{\t"name": "shop", "services": {"web": {}}, "networks": {"default": {"enable_ipv6": true}}}'
    assert names(files(settings, write(tmp_path / "config", text))) == ["shop-default"]


@pytest.fixture(autouse=True)
def no_project_name(monkeypatch: Patch) -> None:
    """The user who runs the tests may have set the variable."""
    monkeypatch.delenv("COMPOSE_PROJECT_NAME", raising=False)


@pytest.mark.parametrize(
    "text",
    [
        "COMPOSE_PROJECT_NAME=blog",
        '# old\nA=1\nCOMPOSE_PROJECT_NAME=one\r\nexport COMPOSE_PROJECT_NAME = "blog" # ours\r\n',
        "COMPOSE_PROJECT_NAME: 'blog'\n",
    ],
)
def test_a_project_without_a_name_has_that_of_its_env_file(text: str, settings: Settings, tmp_path: Path) -> None:
    file = write(tmp_path / "shop" / "compose.yaml", COMPOSE)
    write(tmp_path / "shop" / ".env", text)
    assert names(files(settings, file)) == ["blog-front"]
    assert names(files(settings, file, project="given")) == ["given-front"]


@pytest.mark.parametrize(
    "text", ["", "# COMPOSE_PROJECT_NAME=blog", "MY_COMPOSE_PROJECT_NAME=blog", "COMPOSE_PROJECT_NAME="]
)
def test_an_env_file_may_say_nothing(text: str, settings: Settings, tmp_path: Path) -> None:
    write(tmp_path / "shop" / ".env", text)
    assert names(files(settings, write(tmp_path / "shop" / "compose.yaml", COMPOSE))) == ["shop-front"]


def test_an_env_file_that_is_a_link_to_nothing_is_none(settings: Settings, tmp_path: Path) -> None:
    file = write(tmp_path / "shop" / "compose.yaml", COMPOSE)
    (tmp_path / "shop" / ".env").symlink_to("gone.env")
    assert names(files(settings, file)) == ["shop-front"]


def test_the_environment_names_a_project_before_its_env_file(
    settings: Settings, tmp_path: Path, monkeypatch: Patch
) -> None:
    file = write(tmp_path / "shop" / "compose.yaml", COMPOSE)
    write(tmp_path / "shop" / ".env", "COMPOSE_PROJECT_NAME=blog")
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "wiki")
    assert names(files(settings, file)) == ["wiki-front"]
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "")
    assert names(files(settings, file)) == ["shop-front"]


@pytest.mark.parametrize(
    ("text", "env"),
    [
        (COMPOSE, "COMPOSE_PROJECT_NAME=Blog"),
        (COMPOSE, "COMPOSE_PROJECT_NAME=${X}"),
        ("name: shop\n" + COMPOSE, "COMPOSE_PROJECT_NAME=blog"),
    ],
)
def test_a_name_that_differs_from_that_of_the_environment_is_refused(
    text: str, env: str, settings: Settings, tmp_path: Path
) -> None:
    file = write(tmp_path / "shop" / "compose.yaml", text)
    write(tmp_path / "shop" / ".env", env)
    with pytest.raises(ComposeFileError, match=r"\.env sets COMPOSE_PROJECT_NAME .*give --project"):
        files(settings, file)
    assert names(files(settings, file, project="given")) == ["given-front"]


def test_what_compose_writes_to_a_pipe_has_its_name(settings: Settings, monkeypatch: Patch) -> None:
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "wiki")
    stdin = BytesIO(f"name: shop\n{COMPOSE}".encode())
    assert names(import_files(settings, ["-"], stdin, "", ManagementPolicy.OBSERVE)) == ["shop-front"]


@pytest.mark.parametrize("override", ["compose.override.yaml", "docker-compose.override.yml"])
def test_a_file_that_compose_would_merge_is_named(override: str, settings: Settings, tmp_path: Path) -> None:
    file, other = (write(tmp_path / "shop" / name, COMPOSE) for name in ("compose.yaml", "resolved.yaml"))
    assert files(settings, file).remarks == ()
    write(tmp_path / "shop" / override, "services: {}")
    (remark,) = files(settings, file).remarks
    assert remark.startswith(f"{override} beside compose.yaml is not read")
    assert "docker compose config" in remark
    assert files(settings, other).remarks == ()


@pytest.mark.parametrize("variable", ["", "environment"])
def test_the_files_of_compose_file_are_named(
    variable: str, settings: Settings, tmp_path: Path, monkeypatch: Patch
) -> None:
    file = write(tmp_path / "shop" / "compose.yaml", COMPOSE)
    write(tmp_path / "shop" / "compose.override.yaml", "services: {}")  # not merged if COMPOSE_FILE is set
    value = "compose.yaml:prod.yaml"
    if variable:
        monkeypatch.setenv("COMPOSE_FILE", value)
    else:
        write(tmp_path / "shop" / ".env", f"COMPOSE_FILE={value}")
    (remark,) = files(settings, file).remarks
    assert remark.startswith(f"{'the environment' if variable else '.env'} sets COMPOSE_FILE to {value}")
    monkeypatch.setenv("COMPOSE_FILE", "compose.yaml")
    assert files(settings, file).remarks == ()
    monkeypatch.setenv("COMPOSE_FILE", "compose.yaml,b.yaml")
    assert files(settings, file).remarks != ()  # as a single name, which is another file
    monkeypatch.setenv("COMPOSE_PATH_SEPARATOR", ",")
    monkeypatch.setenv("COMPOSE_FILE", "./compose.yaml,compose.yaml")
    assert files(settings, file).remarks == ()
    monkeypatch.setenv("COMPOSE_FILE", "../base/compose.yaml,compose.yaml")
    assert files(settings, file).remarks != ()  # another file of that name


def test_other_files_with_variables_take_the_place_of_env(
    settings: Settings, tmp_path: Path, monkeypatch: Patch
) -> None:
    file = write(tmp_path / "shop" / "compose.yaml", COMPOSE)
    write(tmp_path / "shop" / ".env", "COMPOSE_PROJECT_NAME=wiki")
    assert names(files(settings, file)) == ["wiki-front"]
    monkeypatch.setenv("COMPOSE_DISABLE_ENV_FILE", "1")
    assert names(files(settings, file)) == ["shop-front"]
    one = write(tmp_path / "one.env", "COMPOSE_PROJECT_NAME=one")
    two = write(tmp_path / "two.env", "A=1\nexport COMPOSE_PROJECT_NAME='two'")
    monkeypatch.setenv("COMPOSE_ENV_FILES", f"{one}, {two}")
    assert names(files(settings, file)) == ["two-front"]
    write(two, "COMPOSE_PROJECT_NAME=")  # hides that of the first file
    assert names(files(settings, file)) == ["shop-front"]
    monkeypatch.setenv("COMPOSE_ENV_FILES", str(tmp_path / "none.env"))
    with pytest.raises(FileNotFoundError):  # as Compose
        files(settings, file)


def test_a_linked_directory_gives_the_name_as_in_compose(settings: Settings, tmp_path: Path) -> None:
    write(tmp_path / "v2" / "compose.yaml", COMPOSE)
    (tmp_path / "shop").symlink_to("v2")
    assert names(files(settings, tmp_path / "v2" / ".." / "shop" / "compose.yaml")) == ["shop-front"]


def test_a_loop_of_links_is_an_error_of_the_system(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").symlink_to("b.yaml")
    (tmp_path / "b.yaml").symlink_to("compose.yaml")
    (tmp_path / "loop").symlink_to("loop")
    for path in (tmp_path / "compose.yaml", tmp_path / "loop" / "compose.yaml"):
        with pytest.raises(OSError, match="symbolic links"):
            files(settings, path)


def test_files_of_several_projects_are_imported_and_of_one_refused(settings: Settings, tmp_path: Path) -> None:
    one, two = (write(tmp_path / name / "compose.yaml", COMPOSE) for name in ("one", "two"))
    assert names(files(settings, one, two)) == ["one-front", "two-front"]
    with pytest.raises(ComposeFileError, match="Compose would merge them"):
        files(settings, one, two, project="same")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [", "1:5: error"),
        ("a: !reset []", "!reset"),
        (b"\xff\xfe", "UTF-16"),
        (b"services: \xff", "is not UTF-8"),
        ("", "has 0"),
        ("services: {}\n---\nservices: {}", "has 2"),
        ("a: 1\na: 2", "2:1: error"),
        ("services:\n  web:\n    extends: {service: x}", "3:14: error: services.web.extends"),
        ("networks:\n  a:\n    name: ${X}", "3:11: error: networks.a.name"),
        (b"\0", "binary"),
        ("networks: " + "[" * 200, "error"),
        ("a: &a [*a]", "error"),
    ],
)
def test_a_malformed_file_is_refused_with_the_place(
    text: str | bytes, expected: str, settings: Settings, tmp_path: Path
) -> None:
    with pytest.raises(ComposeFileError) as raised:
        files(settings, write(tmp_path / "shop" / "compose.yaml", text))
    assert expected in str(raised.value)
    assert str(tmp_path) in str(raised.value)


def test_a_file_that_is_missing_is_an_error_of_the_system(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files(settings, tmp_path / "none.yaml")
    with pytest.raises(IsADirectoryError):
        files(settings, tmp_path)
