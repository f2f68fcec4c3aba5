"""Log lines for programs: one JSON object per line, with the fields at the top level."""

import logging

from pythonjsonlogger.json import JsonFormatter

from dockerv6.lib.text import escaped_json
from dockerv6.telemetry.text_lines import fields, redacted, rfc3339_milliseconds


class JsonLines(JsonFormatter):
    """``{"time": …, "level": "warning", "logger": …, "message": …, "kind": …, "resource": …, "exception": …}``."""

    def __init__(self) -> None:
        """Format lines."""
        super().__init__(json_ensure_ascii=False, json_default=str)

    def format(self, record: logging.LogRecord) -> str:
        """Format a record as one line."""
        return escaped_json(super().format(record))

    def add_fields(
        self, log_data: dict[str, object], record: logging.LogRecord, message_dict: dict[str, object]
    ) -> None:
        """Fill in the object. The line's own keys win over fields of the same name."""
        log_data.update(
            {
                "time": rfc3339_milliseconds(record.created),
                "level": record.levelname.lower(),
                "logger": record.name,
                "message": redacted(record.getMessage()),
            }
        )
        for key, value in fields(record).items():
            log_data.setdefault(key, value)
        if exception := message_dict.get("exc_info"):
            log_data["exception"] = redacted(str(exception))
        if stack := message_dict.get("stack_info"):
            log_data["stack"] = str(stack)
