"""Operations for migrations that change big tables while posts go on coming in.

On PostgreSQL the plain ones lock the table for as long as they read it. Use these in migrations
with `atomic = False`; on SQLite they are the plain ones.
"""

from typing import Any

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models

BATCH_ROWS = 5000


class AddConstraintOnline(migrations.AddConstraint):
    """Adds a constraint; how PostgreSQL does it without a lock, its kinds say."""

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        model = to_state.apps.get_model(app_label, self.model_name)
        sql = str(self.constraint.create_sql(model, schema_editor))
        quoted = schema_editor.quote_name
        for one in self.steps(quoted(model._meta.db_table), quoted(self.constraint.name), sql):
            schema_editor.execute(one)

    def steps(self, table: str, name: str, sql: str) -> list[str]:
        """Return the statements that do online what `sql` does; they can be run again."""
        raise NotImplementedError


class AddUniqueConstraintOnline(AddConstraintOnline):
    """Add a conditional unique constraint, which is an index, by building it concurrently."""

    def steps(self, table: str, name: str, sql: str) -> list[str]:
        head = "CREATE UNIQUE INDEX "
        assert sql.startswith(head)
        # What a stopped attempt left behind is not valid and would be in the way.
        return [
            f"DROP INDEX CONCURRENTLY IF EXISTS {name}",
            f"{head}CONCURRENTLY {sql.removeprefix(head)}",
        ]


class AddCheckConstraintOnline(AddConstraintOnline):
    """Add a check constraint, reading the rows that are there without locking them."""

    def steps(self, table: str, name: str, sql: str) -> list[str]:
        return [
            f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}",
            f"{sql} NOT VALID",
            f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}",
        ]


class AddIndexOnline(AddIndexConcurrently):
    """Add an index by building it concurrently; can be run again after it was stopped."""

    def database_forwards(self, app_label: str, schema_editor: Any, *states: Any) -> None:
        if schema_editor.connection.vendor != "postgresql":
            migrations.AddIndex.database_forwards(self, app_label, schema_editor, *states)
            return
        # What a stopped attempt left behind is not valid and would be in the way.
        name = schema_editor.quote_name(self.index.name)
        schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        super().database_forwards(app_label, schema_editor, *states)

    def database_backwards(self, app_label: str, schema_editor: Any, *states: Any) -> None:
        if schema_editor.connection.vendor != "postgresql":
            migrations.AddIndex.database_backwards(self, app_label, schema_editor, *states)
            return
        super().database_backwards(app_label, schema_editor, *states)


class RemoveIndexOnline(RemoveIndexConcurrently):
    """Remove an index without waiting, locked, for whoever uses it."""

    def database_forwards(self, app_label: str, schema_editor: Any, *states: Any) -> None:
        if schema_editor.connection.vendor != "postgresql":
            migrations.RemoveIndex.database_forwards(self, app_label, schema_editor, *states)
            return
        super().database_forwards(app_label, schema_editor, *states)

    def database_backwards(self, app_label: str, schema_editor: Any, *states: Any) -> None:
        if schema_editor.connection.vendor != "postgresql":
            migrations.RemoveIndex.database_backwards(self, app_label, schema_editor, *states)
            return
        super().database_backwards(app_label, schema_editor, *states)


def fill(schema_editor: Any, model: type[models.Model], **values: Any) -> None:
    """Set columns of all rows of `model`, which has a UUIDv7 key, some thousand at a time.

    Rows that come in meanwhile have later keys, so that they are met at the end.
    """
    rows: Any = model._default_manager.using(schema_editor.connection.alias).order_by("pk")
    last = None
    while True:
        ids = list(
            (rows.filter(pk__gt=last) if last else rows).values_list("pk", flat=True)[:BATCH_ROWS]
        )
        if not ids:
            return
        rows.filter(pk__in=ids).update(**values)
        last = ids[-1]
