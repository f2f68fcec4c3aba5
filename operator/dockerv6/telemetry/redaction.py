"""What must not get into a log: credentials that reach a message or a field by way of a URL, a header or an error."""

import re

HIDDEN = "***"

_SECRET_KEY = re.compile(
    r"passw|secret|token|credential|authorization|api_?key|private_?key|cookie|identity_?token", re.IGNORECASE
)
_IN_URL = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)[^\s/@?#]+@", re.IGNORECASE)
_IN_HEADER = re.compile(
    r"(?P<name>\b(?:proxy-)?authorization|x-registry-(?:auth|config))(?P<middle>['\"]?\s*[:=]\s*).+", re.IGNORECASE
)


def redacted(text: str) -> str:
    """The text without user names and passwords in URLs, and without the values of authorization headers."""
    if "://" in text:
        text = _IN_URL.sub(rf"\g<scheme>{HIDDEN}@", text)
    return _IN_HEADER.sub(rf"\g<name>\g<middle>{HIDDEN}", text)


def is_secret(key: str) -> bool:
    """Whether a field's name says that its value is nobody's business."""
    return _SECRET_KEY.search(key) is not None
