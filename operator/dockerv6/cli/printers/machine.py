"""JSON and YAML. Their libraries are imported when they are asked for."""

from collections.abc import Mapping


def text(value: Mapping[str, object], form: str) -> str:
    """The value as ``json`` or ``yaml`` text, without a newline at its end; keys keep their order."""
    if form == "yaml":
        import yaml  # noqa: PLC0415 - only for -o yaml

        return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120).rstrip("\n")
    import json  # noqa: PLC0415 - only for -o json

    return json.dumps(value, indent=4, ensure_ascii=False)
