"""The app of jobs."""

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class JobsConfig(AppConfig):
    name = "leadping.jobs"
    label = "jobs"

    def ready(self) -> None:
        autodiscover_modules("jobs")  # where each app says what its jobs do
