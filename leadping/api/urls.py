"""The paths of the read API, each alike with and without a trailing slash."""

from django.urls import re_path

from leadping.api import leads, sources, suppressions, tags

ID = r"(?P<id>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})"
TAG_ID = ID.replace("<id>", "<tag_id>")

urlpatterns = [
    re_path(r"^leads/all/my/?\Z", leads.LeadListView.as_view(), name="api-leads"),
    re_path(rf"^leads/{ID}/?\Z", leads.LeadView.as_view(), name="api-lead"),
    re_path(rf"^leads/{ID}/archive/?\Z", leads.ArchiveView.as_view(), name="api-archive"),
    re_path(rf"^leads/{ID}/unarchive/?\Z", leads.UnarchiveView.as_view(), name="api-unarchive"),
    re_path(rf"^leads/{ID}/tags/?\Z", leads.LeadTagsView.as_view(), name="api-lead-tags"),
    re_path(rf"^leads/{ID}/tags/{TAG_ID}/?\Z", leads.LeadTagView.as_view(), name="api-lead-tag"),
    re_path(r"^tags/?\Z", tags.TagListView.as_view(), name="api-tags"),
    re_path(rf"^tags/{ID}/?\Z", tags.TagView.as_view(), name="api-tag"),
    re_path(r"^sources/?\Z", sources.SourcesView.as_view(), name="api-new-source"),
    re_path(r"^sources/all/my/?\Z", sources.SourceListView.as_view(), name="api-sources"),
    re_path(rf"^sources/{ID}/?\Z", sources.SourceView.as_view(), name="api-source"),
    re_path(rf"^sources/{ID}/metrics/?\Z", sources.MetricsView.as_view(), name="api-metrics"),
    re_path(r"^suppressions/?\Z", suppressions.SuppressionsView.as_view(), name="api-suppress"),
    re_path(r"^suppressions/release/?\Z", suppressions.ReleaseView.as_view(), name="api-release"),
    re_path(r"^suppressions/check/?\Z", suppressions.CheckView.as_view(), name="api-check"),
    re_path(
        r"^suppressions/all/my/?\Z",
        suppressions.SuppressionListView.as_view(),
        name="api-suppressions",
    ),
    re_path(
        rf"^suppressions/{ID}/?\Z", suppressions.SuppressionView.as_view(), name="api-suppression"
    ),
]
