"""The paths under /leads; each is answered alike with and without a trailing slash."""

from django.urls import re_path

from intake.views import IntakeView, nothing_here

urlpatterns = [
    re_path(r"^leads/intake/?\Z", IntakeView.as_view(), name="intake"),
    re_path(r"^leads(?:/[\s\S]*)?\Z", nothing_here),
]
