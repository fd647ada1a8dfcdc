"""Every URL of leadping on one screen; `/healthz` and `/readyz` are answered before it is read."""

from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from leadping.api import pages

urlpatterns = [
    path("", include("leadping.api.urls")),
    path("", include("intake.urls")),  # last: it answers whatever else is under /leads
    path("openapi.json", pages.openapi, name="openapi"),
    re_path(r"^docs/api/?\Z", pages.api_docs, name="api-docs"),
    path("admin/", admin.site.urls),
    path("", RedirectView.as_view(pattern_name="admin:index")),
]

handler403 = "leadping.console.refused.forbidden"
handler404 = "leadping.console.refused.not_found"
handler500 = "leadping.middleware.server_error"
