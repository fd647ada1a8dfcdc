"""The app of the console, and Django's admin with our site in the place of its own."""

from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class ConsoleConfig(AppConfig):
    name = "leadping.console"
    label = "console"


class SiteConfig(admin_apps.AdminConfig):
    default = False  # of this module: Django's own is meant by its path
    default_site = "leadping.console.site.Console"
