"""Tables of records: CSV files read strictly, with errors that name the file, the line and the column."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from ecgscan_lab.data.paths import open_regular, read_bounded
from ecgscan_lab.errors import RecordError, TableError

MAX_TABLE_BYTES = 512 * 1024 * 1024

Row = dict[str, str]


def read_table(path: Path, required: Iterable[str] = (), *, delimiter: str = ",") -> list[Row]:
    """Read a CSV file with a header line; every value stays text.

    Args:
        path: the file, UTF-8.
        required: columns that must be there.
        delimiter: the character between columns.

    Returns:
        One dictionary a line, column -> text.

    Raises:
        TableError: the file is missing or no UTF-8 text, a required column is missing, a column name is repeated, a
            line has more or fewer values than the header, or there is no line.
    """
    try:
        text = read_bounded(path, MAX_TABLE_BYTES).decode("utf-8-sig")
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except RecordError as error:
        raise TableError(error.what, file=path, expected="a CSV table", fix=error.fix) from error
    except (UnicodeDecodeError, csv.Error, TypeError) as error:
        raise TableError(f"not a readable CSV table ({error})", file=path, expected="UTF-8 text") from error
    columns = [name.strip() for name in lines[0]] if lines else []
    check_columns(path, columns, required)
    if len(set(columns)) < len(columns):
        raise TableError(f"a column name is repeated: {', '.join(columns)}", file=path, expected="distinct names")
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        if line and len(line) != len(columns):
            raise TableError(
                f"row {number} has {len(line)} values",
                file=path,
                expected=f"{len(columns)}, one for each column",
                fix="quote values that contain the delimiter",
            )
        if line:
            rows.append(dict(zip(columns, line, strict=True)))
    if not rows:
        raise TableError("the table has no rows", file=path, expected="at least one record")
    return rows


def iterate_table(path: Path, required: Iterable[str] = ()) -> Iterator[Row]:
    """Read a CSV file line by line, for tables of hundreds of thousands of lines.

    Args:
        path: the file, UTF-8.
        required: columns that must be there.

    Yields:
        One dictionary a line, column -> text, as `read_table` does.

    Raises:
        TableError: as `read_table`, but not for a table without lines.
    """
    try:
        with open_regular(path) as file:
            text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
            lines = csv.reader(text, strict=True)
            columns = [name.strip() for name in next(lines, [])]
            check_columns(path, columns, required)
            if len(set(columns)) < len(columns):
                raise TableError("a column name is repeated", file=path, expected="distinct names")
            for line in lines:
                if line and len(line) != len(columns):
                    raise TableError(
                        f"row {lines.line_num} has {len(line)} values",
                        file=path,
                        expected=f"{len(columns)}, one for each column",
                        fix="fetch the table again",
                    )
                if line:
                    yield dict(zip(columns, line, strict=True))
    except RecordError as error:
        raise TableError(error.what, file=path, expected="a CSV table", fix=error.fix) from error
    except (UnicodeDecodeError, csv.Error, TypeError) as error:
        raise TableError(f"not a readable CSV table ({error})", file=path, expected="UTF-8 text") from error


def check_columns(path: Path, columns: Sequence[str], required: Iterable[str]) -> None:
    """Refuse a table without the required columns.

    Args:
        path: the table, for the message.
        columns: the columns it has.
        required: the columns it must have.

    Raises:
        TableError: a column is missing; the message lists those that exist.
    """
    missing = [column for column in required if column not in columns]
    if missing:
        raise TableError(
            f"no column {', '.join(repr(column) for column in missing)}; there are: {', '.join(columns)}",
            file=path,
            field=", ".join(missing),
            expected="the column in the header line",
            fix="add or rename the column, or check the delimiter",
        )


def relative_record_path(table: Path, text: str) -> PurePosixPath:
    """The path of a record as a table writes it: relative to the table's folder and staying inside it.

    Args:
        table: the table, for the message.
        text: the path, with `/` between folders, with or without `.hea`.

    Returns:
        The path without suffix.

    Raises:
        TableError: it is empty, absolute, an address, or leads out of the folder.

    Example:
        >>> relative_record_path(Path("cohort.csv"), "records/0001.hea")
        PurePosixPath('records/0001')
    """
    path = PurePosixPath(text.strip())
    if not path.name or path.is_absolute() or ".." in path.parts or any(c in text for c in ":\\\0"):
        raise TableError(
            f"the record path {text[:80]!r} leads out of the folder",
            file=table,
            field="record",
            expected="a path relative to the table, with / between folders",
            fix="move the record beside the table and write its relative path",
        )
    return path.with_suffix("") if path.suffix in (".hea", ".dat", ".mat") else path


def split_labels(text: str, delimiter: str = ";") -> tuple[str, ...]:
    """Labels of one cell: blanks and repeats dropped, order kept.

    Example:
        >>> split_labels(" MI; STTC;;MI")
        ('MI', 'STTC')
    """
    return tuple(dict.fromkeys(label for part in text.split(delimiter) if (label := part.strip())))
