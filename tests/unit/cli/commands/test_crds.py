import json
from pathlib import Path

import yaml

from dockerv6.api.crd import export
from tests.unit.cli.harness import run


def test_the_crds_are_printed() -> None:
    documents = list(yaml.safe_load_all(run(["crds"]).stdout))
    assert [document["spec"]["names"]["kind"] for document in documents] == ["IPv6Network", "IPv6Policy", "IPv6Pool"]


def test_the_schema_for_editors_is_printed() -> None:
    assert "$schema" in json.loads(run(["crds", "--schema"]).stdout)


def test_the_files_are_written_to_a_directory(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b"
    result = run(["crds", "--dir", str(target)])
    assert (result.exit_code, result.stdout) == (0, "")
    assert {path.name: path.read_text() for path in target.iterdir()} == export()


def test_a_directory_that_can_not_be_created_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run(["crds", "--dir", str(tmp_path / "file" / "x")])
    assert (result.exit_code, result.stderr) == (1, f"Error: {tmp_path}/file/x: Not a directory\n")
