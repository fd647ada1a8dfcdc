"""The project as an app: it holds the commands that span the others."""

from django.apps import AppConfig


class LeadpingConfig(AppConfig):
    name = "leadping"
