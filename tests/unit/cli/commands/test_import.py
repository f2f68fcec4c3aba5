"""The command import, with the reading of the host replaced; Compose files are really read."""

import json
from pathlib import Path

import pytest
import yaml

from dockerv6.api.kinds import NETWORK, POLICY
from dockerv6.api.network import ManagementPolicy
from dockerv6.daemon import importing
from dockerv6.daemon.importing import ImportResult, NotFoundError
from dockerv6.daemon.settings import Settings
from dockerv6.dockerd.port import EngineUnavailable
from dockerv6.planning.importing.model import Import, ImportedNetwork, ImportedPolicy, ImportedResource, ImportNote
from dockerv6.source.load import load_paths
from tests.unit.cli.harness import Patch, returning, run

BLOG = ImportedNetwork(
    "blog",
    ImportedResource(NETWORK, "blog", {"networkName": "Blog"}),
    notes=(ImportNote("Labels.x\n", "a\x1b[2Jb\u2028c is left out"), ImportNote("", "long: " + "words " * 40)),
    recreation=("label a is unset, should be b",),
    disconnected=("web",),
)
OLD = ImportedNetwork(
    "old",
    skipped="it has no IPv6",
    example=ImportedResource(NETWORK, "old-ipv6", {"members": {"matchLabels": {"a": "b"}}}),
)
ALL = ImportedPolicy(ImportedResource(POLICY, "all", {"selector": {"prefixes": ["fc00::/7"]}}), ("a", "b"))
EVERYTHING = ImportResult(Import((BLOG, OLD), ALL), ("docker-ipv6nat is running",))


@pytest.fixture
def everything(monkeypatch: Patch) -> list[tuple[object, ...]]:
    return returning(monkeypatch, importing, "import_host", EVERYTHING)


def test_yaml_has_comments_above_each_resource(everything: list[tuple[object, ...]]) -> None:
    result = run(["import", "x", "--docker-host", "unix:///run/x.sock", "--project", "shop"])
    assert result.exit_code == 0
    assert everything == [
        (Settings(docker_host="unix:///run/x.sock"), ("x",), "shop", ManagementPolicy.OBSERVE),
    ]
    policy, blog, old = result.stdout.split("---\n")
    assert "now: a, b" in policy.splitlines()[0]
    assert blog.startswith("# Docker network blog\n# Labels.x")
    assert "\x1b" not in result.stdout
    assert "This disconnects web" in blog
    assert all(len(line) <= 120 for line in result.stdout.splitlines())
    assert [each["kind"] for each in yaml.safe_load_all(result.stdout) if each] == [POLICY, NETWORK]
    assert all(line.startswith("#") for line in old.splitlines())
    pasted = yaml.safe_load("\n".join(line[2:] for line in old.splitlines()[2:]))
    assert pasted["metadata"]["name"] == "old-ipv6"


@pytest.mark.usefixtures("everything")
def test_the_summary_is_on_standard_error() -> None:
    lines = run(["import"]).stderr.splitlines()
    assert lines[0] == "a, b: IPv6Policy/all"
    assert lines[1] == "blog: IPv6Network/blog (Manage)"
    assert lines[2].startswith("  - Labels.x : a\\x1b[2Jb\\u2028c is left out")
    assert "  label a is unset, should be b" in lines[5]
    assert lines[6] == "old: not imported: it has no IPv6"
    assert lines[7].startswith(
        "3 Docker networks in 2 resources, 1 not imported; 1 Docker network would be created again"
    )
    assert lines[8] == "docker-ipv6nat is running"


@pytest.mark.usefixtures("everything")
def test_json_is_a_list_that_is_valid_as_a_file() -> None:
    result = run(["import", "-o", "json"])
    found = json.loads(result.stdout)
    assert (found["apiVersion"], found["kind"]) == ("v1", "List")
    assert [item["metadata"]["name"] for item in found["items"]] == ["all", "blog"]
    assert "    name: old-ipv6" not in result.stdout
    assert "      name: old-ipv6" in result.stderr


@pytest.mark.usefixtures("everything")
@pytest.mark.parametrize("form", ["yaml", "json"])
def test_one_file_is_written_for_each_resource_and_none_is_overwritten(form: str, tmp_path: Path) -> None:
    directory = tmp_path / "new" / "resources"
    arguments = ["import", "--output-dir", str(directory), "-o", form]
    result = run(arguments)
    assert result.stdout.splitlines() == [str(directory / f"{name}.{form}") for name in ("all", "blog")]
    assert sorted(path.name for path in directory.iterdir()) == [f"all.{form}", f"blog.{form}"]
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o644}
    snapshot = load_paths([str(directory)], None)  # type: ignore[arg-type]
    assert [each.resource.metadata.name for each in snapshot.resources] == ["all", "blog"]
    (directory / f"all.{form}").unlink()
    (directory / f"blog.{form}").write_text("mine")
    again = run(arguments)
    assert again.exit_code == 1
    assert f"{directory / 'blog'}.{form} exists" in again.stderr
    assert [(path.name, path.read_text()) for path in directory.iterdir()] == [(f"blog.{form}", "mine")]


@pytest.mark.usefixtures("everything")
def test_a_link_that_leads_nowhere_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "blog.yaml").symlink_to(tmp_path / "nowhere")
    assert run(["import", "--output-dir", str(tmp_path)]).exit_code == 1
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.usefixtures("everything")
def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path: Path, monkeypatch: Patch) -> None:
    chmod = Path.chmod

    def and_another_writes(path: Path, mode: int) -> None:
        chmod(path, mode)
        (tmp_path / "all.yaml").write_text("mine")

    monkeypatch.setattr(Path, "chmod", and_another_writes)
    result = run(["import", "--output-dir", str(tmp_path)])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "all.yaml exists; remove it" in result.stderr
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("all.yaml", "mine")]


def test_manage_is_passed_on(monkeypatch: Patch) -> None:
    calls = returning(monkeypatch, importing, "import_host", ImportResult(Import()))
    result = run(["import", "--manage"])
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "0 Docker networks in 0 resources, 0 not imported\n"
    assert calls[0][-1] is ManagementPolicy.MANAGE


@pytest.mark.parametrize("error", [EngineUnavailable("no engine"), NotFoundError("there is no Docker network x")])
def test_an_expected_error_is_one_line(error: Exception, monkeypatch: Patch) -> None:
    returning(monkeypatch, importing, "import_host", error)
    result = run(["import"])
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"Error: {error}\n")


def test_a_compose_file_is_read_from_standard_input(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.chdir(tmp_path)
    text = "name: shop\nservices: {web: {}}\nnetworks: {default: {enable_ipv6: true}}"
    result = run(["import", "-f", "-", "--config-dir", str(tmp_path / "none")], input=text)
    assert result.exit_code == 0
    assert yaml.safe_load(result.stdout)["spec"] == {"managementPolicy": "Observe", "networkName": "shop_default"}


def test_a_malformed_compose_file_is_reported_like_a_resource_file(tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text("services:\n  web: {extends: {service: x}}\n")
    result = run(["import", "-f", str(file), "--output-dir", str(tmp_path / "out")])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"{file}:2:18: error: services.web.extends: ")
    assert "`docker compose config | dockerv6 import -f -`" in result.stderr
    assert not (tmp_path / "out").exists()


def test_files_and_networks_are_wrong_usage_together(tmp_path: Path) -> None:
    assert run(["import", "blog", "-f", str(tmp_path)]).exit_code == 2
    missing = run(["import", "-f", str(tmp_path / "none.yaml")])
    assert (missing.exit_code, missing.stderr) == (1, f"Error: {tmp_path / 'none.yaml'}: No such file or directory\n")
