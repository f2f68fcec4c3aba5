import click
import pytest
from click.testing import CliRunner

from dockerv6.cli.main import main
from dockerv6.cli.options import DURATION, with_settings
from dockerv6.daemon.settings import OPTIONS, Settings
from dockerv6.firewall.model import DEFAULT_MARK
from dockerv6.source.git.location import CredentialFile, GitLocation


def settings_of(*arguments: str, env: dict[str, str] | None = None) -> Settings:
    found: list[Settings] = []

    @click.command()
    @with_settings
    def command(settings: Settings) -> None:
        found.append(settings)

    result = CliRunner().invoke(command, list(arguments), env=env)
    assert result.exit_code == 0, result.output
    return found[0]


def test_the_defaults_are_those_of_the_settings() -> None:
    assert settings_of() == Settings()


def test_the_default_mark_is_that_of_the_firewall() -> None:
    assert Settings().fwmark == DEFAULT_MARK


def test_every_option_reaches_the_settings() -> None:
    arguments = (
        "--config-dir a --config-dir b --trust-uid 65533 --trust-uid 7 --state-dir s --run-dir r "
        "--docker-host tcp://h:1 --firewall-backend nftables "
        "--resync 90s --no-prune --fwmark 0x80 --log-format json --log-level DEBUG --listen [::1]:9153 --instance x "
        "--git https://example.org/a.git#main:web1 --git git@example.org:b.git --git-ref prod --git-path hosts "
        "--git-interval 2m --git-token-file example.org=/t --git-ssh-key /k --git-known-hosts /h"
    )
    assert settings_of(*arguments.split()) == Settings(
        config_dirs=("a", "b"),
        trusted_uids=(65533, 7),
        state_dir="s",
        run_dir="r",
        docker_host="tcp://h:1",
        firewall_backend="nftables",
        resync=90.0,
        prune=False,
        fwmark=0x80,
        log_format="json",
        log_level="debug",
        listen="[::1]:9153",
        instance="x",
        git=(GitLocation("https://example.org/a.git", "main", "web1"), GitLocation("git@example.org:b.git")),
        git_ref="prod",
        git_path="hosts",
        git_interval=120.0,
        git_token_files=(CredentialFile("/t", "example.org"),),
        git_ssh_keys=(CredentialFile("/k"),),
        git_known_hosts="/h",
    )


def test_every_option_has_a_variable() -> None:
    env = {
        "DOCKERV6_CONFIG_DIR": "a:b",
        "DOCKERV6_TRUST_UID": "65533 7",
        "DOCKERV6_STATE_DIR": "s",
        "DOCKERV6_RUN_DIR": "r",
        "DOCKER_HOST": "tcp://h:1",
        "DOCKERV6_FIREWALL_BACKEND": "iptables",
        "DOCKERV6_RESYNC": "1h",
        "DOCKERV6_PRUNE": "false",
        "DOCKERV6_FWMARK": "128",
        "DOCKERV6_LOG_FORMAT": "json",
        "DOCKERV6_LOG_LEVEL": "warning",
        "DOCKERV6_LISTEN": "none",
        "DOCKERV6_INSTANCE": "x",
        "DOCKERV6_GIT": "https://example.org/a.git#main:web1 git@example.org:b.git",
        "DOCKERV6_GIT_REF": "prod",
        "DOCKERV6_GIT_PATH": "hosts",
        "DOCKERV6_GIT_INTERVAL": "2m",
        "DOCKERV6_GIT_TOKEN_FILE": "example.org=/t",
        "DOCKERV6_GIT_SSH_KEY": "/k",
        "DOCKERV6_GIT_KNOWN_HOSTS": "/h",
    }
    assert settings_of(env=env) == Settings(
        *(("a", "b"), (65533, 7), "s", "r", "tcp://h:1", "iptables", 3600.0, False, 128, "json", "warning", "none"),
        instance="x",
        git=(GitLocation("https://example.org/a.git", "main", "web1"), GitLocation("git@example.org:b.git")),
        git_ref="prod",
        git_path="hosts",
        git_interval=120.0,
        git_token_files=(CredentialFile("/t", "example.org"),),
        git_ssh_keys=(CredentialFile("/k"),),
        git_known_hosts="/h",
    )
    assert {name for option in OPTIONS.values() for name in option.variables} == {*env, "DOCKERV6_DOCKER_HOST"}
    assert settings_of("--prune", "--resync=1m", env=env).prune
    assert settings_of(env={**env, "DOCKERV6_DOCKER_HOST": "unix:///x"}).docker_host == "unix:///x"


def test_the_error_for_a_duration_has_examples() -> None:
    with pytest.raises(click.BadParameter, match="such as 90s, 10m or 1h30m"):
        DURATION("soon")


@pytest.mark.parametrize("in_variable", [True, False])
def test_a_password_in_a_url_is_refused_and_not_printed(*, in_variable: bool) -> None:
    url = "https://me:s3cr3t@example.org/a.git"
    arguments = ["plan"] if in_variable else ["plan", "--git", url]
    result = CliRunner().invoke(main, arguments, env={"DOCKERV6_GIT": url} if in_variable else {})
    assert result.exit_code == 2
    assert "--git-token-file" in result.output
    assert "s3cr3t" not in result.output
