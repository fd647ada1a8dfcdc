"""The test suite; `make test` runs it on SQLite and on PostgreSQL."""
