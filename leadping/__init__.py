"""The project: settings, URLs, middleware, health and the commands that span the apps."""
