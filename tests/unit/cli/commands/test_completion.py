import pytest

from tests.unit.cli.harness import run


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_a_script(shell: str) -> None:
    result = run(["completion", shell])
    assert result.exit_code == 0
    assert f"_DOCKERV6_COMPLETE={shell}_complete" in result.stdout


def test_the_default_shell_is_that_of_the_user() -> None:
    assert "_DOCKERV6_COMPLETE=zsh_complete" in run(["completion"], env={"SHELL": "/usr/bin/zsh"}).stdout
    assert run(["completion"], env={"SHELL": "/bin/dash"}).exit_code == 2
