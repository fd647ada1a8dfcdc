"""Work that is done later: an outbox of jobs and the worker that does them; knows of no lead."""
