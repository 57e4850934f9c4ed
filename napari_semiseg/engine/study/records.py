"""The records of a study: its SQLite file, the schema with its migrations, and the connections.

Every thread gets a connection of its own, every write is one short transaction, and several
programs may use the file at once. It keeps SQLite's rollback journal because a study may lie on a
share, where a write-ahead log is not safe.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.study.storage import storage_errors

FILE_NAME = "study.sqlite"

BUSY_SECONDS = 30.0
"""How long a program waits for another one that is writing."""

_FIRST_SCHEMA = (
    """CREATE TABLE study (
        only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
        name TEXT NOT NULL,
        created_at TEXT NOT NULL
    )""",
    """CREATE TABLE classes (
        value INTEGER PRIMARY KEY CHECK (value BETWEEN 1 AND 255),
        name TEXT NOT NULL,
        colour TEXT NOT NULL
    )""",
    # AUTOINCREMENT: the folder of a removed case is never given to another one
    """CREATE TABLE cases (
        identifier INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE,
        source TEXT NOT NULL,
        geometry TEXT NOT NULL,
        channels INTEGER NOT NULL,
        modality TEXT,
        content_hash TEXT NOT NULL UNIQUE,
        added_at TEXT NOT NULL,
        state TEXT NOT NULL,
        held_out INTEGER NOT NULL DEFAULT 0,
        label_version INTEGER,
        previous_label_version INTEGER
    )""",
    """CREATE TABLE labels (
        case_identifier INTEGER NOT NULL REFERENCES cases (identifier) ON DELETE CASCADE,
        version INTEGER NOT NULL,
        hash TEXT NOT NULL,
        class_values TEXT NOT NULL,
        origin TEXT NOT NULL CHECK (origin IN ('human', 'accepted')),
        state TEXT NOT NULL,
        author TEXT NOT NULL,
        saved_at TEXT NOT NULL,
        PRIMARY KEY (case_identifier, version)
    )""",
    """CREATE TABLE runs (
        number INTEGER PRIMARY KEY,
        identifier TEXT NOT NULL UNIQUE,
        method TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('running', 'stopped', 'finished', 'failed')),
        settings TEXT NOT NULL,
        seed INTEGER NOT NULL,
        label_hash TEXT NOT NULL,
        labelled TEXT NOT NULL,
        unlabelled TEXT NOT NULL,
        versions TEXT NOT NULL,
        details TEXT NOT NULL DEFAULT '{}',
        started_at TEXT NOT NULL,
        finished_at TEXT
    )""",
    """CREATE TABLE metrics (
        run TEXT NOT NULL REFERENCES runs (identifier) ON DELETE CASCADE,
        case_identifier INTEGER NOT NULL REFERENCES cases (identifier) ON DELETE CASCADE,
        metrics TEXT NOT NULL,
        PRIMARY KEY (run, case_identifier)
    )""",
    # names, not references: the audit trail outlives the cases it speaks of
    """CREATE TABLE decisions (
        identifier INTEGER PRIMARY KEY AUTOINCREMENT,
        case_name TEXT,
        who TEXT NOT NULL,
        decided_at TEXT NOT NULL,
        what TEXT NOT NULL,
        run TEXT,
        label_hash TEXT,
        detail TEXT NOT NULL
    )""",
    "CREATE INDEX decisions_of_a_case ON decisions (case_name)",
    """CREATE TRIGGER decisions_are_never_changed BEFORE UPDATE ON decisions
        BEGIN SELECT RAISE(ABORT, 'decisions are never changed'); END""",
    """CREATE TRIGGER decisions_are_never_removed BEFORE DELETE ON decisions
        BEGIN SELECT RAISE(ABORT, 'decisions are never removed'); END""",
)

_DONE_SLICES = (
    # JSON of done_slices.py; NULL, as for every label of before, means that the label is complete
    "ALTER TABLE labels ADD COLUMN done_slices TEXT",
)

_TIME_SPENT = (
    # sums only, for time_spent.py: who worked at which moment is nobody's business
    "ALTER TABLE cases ADD COLUMN manual_seconds REAL NOT NULL DEFAULT 0",
    "ALTER TABLE cases ADD COLUMN manual_edits INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE cases ADD COLUMN correction_seconds REAL NOT NULL DEFAULT 0",
    "ALTER TABLE cases ADD COLUMN correction_edits INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE cases ADD COLUMN began_as_prediction INTEGER NOT NULL DEFAULT 0",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_FIRST_SCHEMA, _DONE_SLICES, _TIME_SPENT)
"""Statements that lead from each schema version to the next; append, never change one."""

SCHEMA_VERSION = len(MIGRATIONS)


class Records:
    """The SQLite file of a study, safe to use from several threads and programs at once.

    Parameters
    ----------
    folder : Path
        The study folder; it holds the file ``study.sqlite``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / FILE_NAME
        self._lock = threading.Lock()
        self._connections: dict[threading.Thread, sqlite3.Connection] = {}
        self._closed = False

    def create(self) -> None:
        """Make the file with the current schema.

        Raises
        ------
        StudyError
            If the disk refuses.
        """
        with storage_errors(self.folder):
            self._file.touch(exist_ok=False)
        self._migrate()

    def check(self) -> None:
        """Prove that the file is sound and bring its schema up to date.

        Raises
        ------
        StudyError
            If the file is missing, damaged, or was written by a newer version of the program.
        """
        verdict = self.query("PRAGMA integrity_check")[0]
        if verdict[0] != "ok":
            raise StudyError(
                f"The records of {self.folder} are damaged ({verdict[0]}): put back {FILE_NAME} "
                "from a backup; the labels are still in the folder 'labels'."
            )
        version = self._version()
        if version > SCHEMA_VERSION:
            raise StudyError(
                f"{self.folder} was written by a newer version of napari-semiseg (records "
                f"{version}, this program knows {SCHEMA_VERSION}): update napari-semiseg."
            )
        if version < SCHEMA_VERSION:
            self._migrate()

    def _version(self) -> int:
        return int(self.query("PRAGMA user_version")[0][0])

    def _migrate(self) -> None:
        with self.transaction() as connection:
            # asked inside the transaction: another program may have migrated meanwhile
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            for statements in MIGRATIONS[version:]:
                for statement in statements:
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def query(self, statement: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Return all rows that a reading statement finds.

        Parameters
        ----------
        statement : str
            SQL with ``?`` for each value.

        Returns
        -------
        list of sqlite3.Row
            Fetched at once, so that no reader keeps a writer waiting.

        Raises
        ------
        StudyError
            If the study is closed or its file cannot be read.
        """
        with self.reading() as connection:
            return connection.execute(statement, values).fetchall()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give the connection of this thread to a block that only reads.

        Yields
        ------
        sqlite3.Connection
            Fetch all rows at once: a half-read answer keeps writers waiting.

        Raises
        ------
        StudyError
            If the study is closed or its file cannot be read.
        """
        with storage_errors(self.folder):
            yield self._connection()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Give a connection inside a writing transaction; commit at the end, or undo everything.

        Inside the transaction of a block around it, a block is a part of that one.

        Yields
        ------
        sqlite3.Connection
            The connection of this thread; nobody else writes until the block ends.

        Raises
        ------
        StudyError
            If the disk refuses or another program keeps writing for 30 seconds.
        """
        with storage_errors(self.folder):
            connection = self._connection()
            inside_another = connection.in_transaction
            if inside_another:
                yield connection
                return
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _connection(self) -> sqlite3.Connection:
        """Return the connection of this thread, opened at its first use."""
        thread = threading.current_thread()
        with self._lock:
            if self._closed:
                raise StudyError(f"The study {self.folder} is closed: open it again.")
            if thread not in self._connections:
                self._close_those_of_ended_threads()
                self._connections[thread] = self._connect()
            return self._connections[thread]

    def _connect(self) -> sqlite3.Connection:
        if not self._file.is_file():  # SQLite would make an empty file instead
            raise StudyError(
                f"There is no study at {self.folder} (no {FILE_NAME} in it): choose a folder that "
                "ends with .semiseg, or create a study there."
            )
        with storage_errors(self.folder):
            connection = sqlite3.connect(
                self._file,
                timeout=BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,  # close() is called from one thread for all
            )
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA synchronous = EXTRA")
            return connection

    def _close_those_of_ended_threads(self) -> None:
        for thread in [thread for thread in self._connections if not thread.is_alive()]:
            self._connections.pop(thread).close()

    def close(self) -> None:
        """Close the connections of all threads; later use raises StudyError."""
        with self._lock:
            self._closed = True
            while self._connections:
                self._connections.popitem()[1].close()
