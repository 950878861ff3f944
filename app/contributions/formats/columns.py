"""Column-oriented JSON, `{column: {row: value}}`, as pandas writes it: rows out of it, one file one record."""

from collections.abc import Iterator

from app.contributions.formats.adapter import Fields
from app.contributions.formats.draft import Wrong


def is_columns(fields: Fields, known: frozenset[str]) -> bool:
    """Whether the object's members are columns, at least one of them known, and none a plain value."""
    return bool(known & set(fields)) and all(value.is_object for value in fields.values())


def rows(fields: Fields) -> Iterator[tuple[str, Fields]]:
    """(row name, its fields), in the order of the first column. Raises Wrong where columns have different rows."""
    columns = {name: column.members for name, column in fields.items()}
    names = list(next(iter(columns.values())))
    if any(len(column) != len(names) or set(column) != set(names) for column in columns.values()):
        raise Wrong("the columns do not have the same rows")
    for name in names:
        yield name, {column: values[name] for column, values in columns.items()}
