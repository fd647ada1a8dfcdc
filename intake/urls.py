"""The paths of intake and /problems, each alike with and without a trailing slash."""

from django.urls import re_path

from intake.pages import problem_index, problem_page
from intake.views import IntakeView, StructuredView, nothing_here

urlpatterns = [
    re_path(r"^problems/?\Z", problem_index, name="problem-index"),
    re_path(r"^problems/(?P<code>[^/]+)/?\Z", problem_page, name="problem-page"),
    re_path(r"^leads/intake/?\Z", IntakeView.as_view(), name="intake"),
    re_path(r"^leads/?\Z", StructuredView.as_view(), name="structured"),
    re_path(r"^(?:leads|sources|suppressions|tags)(?:/[\s\S]*)?\Z", nothing_here),
]
