"""Put the time of arrival into the key of the posts' table, so that it can be partitioned by it.

PostgreSQL wants the column that a table is partitioned by in its primary key. The table is new
and empty here; SQLite has no partitions and stays as it is.
"""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

KEY = "ALTER TABLE intake_post DROP CONSTRAINT intake_post_pkey, ADD PRIMARY KEY ({})"


def add_time(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(KEY.format("id, received_at"))


def drop_time(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(KEY.format("id"))


class Migration(migrations.Migration):
    dependencies = [("intake", "0001_initial")]
    operations = [migrations.RunPython(add_time, drop_time)]
