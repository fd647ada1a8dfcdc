"""The app of posts."""

from importlib import import_module

from django.apps import AppConfig


class IntakeConfig(AppConfig):
    name = "intake"

    def ready(self) -> None:
        import_module("intake.report_files")  # which makes reports known to exports
