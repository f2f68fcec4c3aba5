"""Rows with values whose storage class does not fit their columns, as damage in a file makes them."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path


def update_any(path: Path, statement: str) -> None:
    """Run a statement on a table as if its columns had no types and no constraints other than keys."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        tables = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
        _replace(connection, {name: _untyped(sql) for name, sql in tables})
        connection.execute(statement)
        _replace(connection, dict(tables))


def _untyped(sql: str) -> str:
    return re.sub(r"(TEXT|INTEGER|REAL|BLOB)(?! PRIMARY)( NOT NULL)?( CHECK \(state IN \(.*?\)\))?", "", sql)


def _replace(connection: sqlite3.Connection, definitions: dict[str, str]) -> None:
    connection.execute("PRAGMA writable_schema = ON")
    for name, sql in definitions.items():
        connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", (sql, name))
    connection.execute("PRAGMA writable_schema = RESET")
