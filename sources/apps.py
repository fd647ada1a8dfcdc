"""The app of businesses, vendors, sources and keys."""

from django.apps import AppConfig


class SourcesConfig(AppConfig):
    name = "sources"
