from pathlib import Path

import pytest

from dockerv6.firewall.nftables.library import NftError, NftExecutable


def program(folder: Path, text: str) -> NftExecutable:
    path = folder / "nft"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return NftExecutable((str(path),))


def test_the_program_gets_the_batch_on_its_input(tmp_path: Path) -> None:
    nft = program(tmp_path, 'cat; echo " $*"')
    assert nft.run("{}") == "{} -j -f -\n"
    assert nft.run("{}", check=True) == "{} -c -j -f -\n"


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("internal:0:0-0: Error: File exists\\n\\ninternal:0:0-0: Error: second", "Error: File exists"),
        ("   ^^^^~~~\\nError: here", "Error: here"),
        ("", "without a message"),
    ],
)
def test_only_the_first_error_is_reported(tmp_path: Path, printed: str, expected: str) -> None:
    with pytest.raises(NftError, match=expected) as error:
        program(tmp_path, f'printf "{printed}" >&2; exit 1').run("")
    assert "second" not in str(error.value)
