"""The settings that the daemon gets at its start and at a reload."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from dockerv6.cli.main import main
from dockerv6.daemon import process
from dockerv6.daemon.settings import Settings


def test_a_reload_reads_the_environment_file_and_keeps_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "default"
    file.write_text("DOCKERV6_RESYNC=5m\nDOCKERV6_LOG_LEVEL=debug\n")
    seen: list[Settings] = []

    def run(settings: Settings, reread: Callable[[], Settings]) -> int:
        seen.append(settings)
        file.write_text(
            f"DOCKERV6_RESYNC=7m\nDOCKERV6_LOG_LEVEL=error\nDOCKERV6_CONFIG_DIR={tmp_path}/a:{tmp_path}/b\n"
        )
        seen.append(reread())
        file.write_text("DOCKERV6_RESYNC=soon\n")
        with pytest.raises(ValueError, match="soon"):
            reread()
        file.unlink()
        seen.append(reread())
        return 0

    monkeypatch.setattr(process, "run", run)
    environment = {"DOCKERV6_ENVIRONMENT_FILE": str(file), "DOCKERV6_RESYNC": "5m", "DOCKERV6_LOG_LEVEL": "debug"}
    done = CliRunner().invoke(main, ["run", "--log-level", "warning"], env=environment)
    assert done.exit_code == 0, done.output
    assert [each.resync for each in seen] == [300, 420, 300]  # what the unit has beside the file is not known
    assert {each.log_level for each in seen} == {"warning"}
    assert [each.config_dirs for each in seen[:2]] == [("/etc/dockerv6.d",), (f"{tmp_path}/a", f"{tmp_path}/b")]
