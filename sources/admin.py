"""Staff manage businesses, vendors, tags and keys; sources, in the console (leadping/console/)."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import ORDER_VAR
from django.core.exceptions import BadRequest, ValidationError
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.html import format_html

from sources import looks
from sources.models import Business, SourceKey, Tag, Vendor
from sources.tags import TagExists


class ListAdmin(admin.ModelAdmin):
    """A list that costs what its page costs, whatever the URL says, and tells bad ids."""

    show_facets = admin.ShowFacets.NEVER  # each would count whole tables

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if ORDER_VAR in request.GET and self.sortable_by == ():
            # Django hides the links and obeys the URL; but no index has another order.
            query = request.GET.copy()
            del query[ORDER_VAR]
            request.GET = query  # type: ignore[assignment]
        for one in request.POST.getlist(ACTION_CHECKBOX_NAME):
            try:
                self.opts.pk.to_python(one)
            except ValidationError:
                raise BadRequest("This is no id of a row.") from None
        return super().changelist_view(request, extra_context)


class KeptAdmin(ListAdmin):
    """What leads and posts name for ever: nobody deletes it."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Business, Vendor)
class NamedAdmin(KeptAdmin):
    list_display = ["name", "id", "created_at"]
    search_fields = ["name"]
    readonly_fields = ["id", "created_at"]


class TagForm(forms.ModelForm):
    """A tag of a business; its name is its own there, whatever the case."""

    class Meta:
        model = Tag
        fields = ["business", "name", "color", "description"]
        widgets = {"description": forms.Textarea(attrs={"rows": 3})}
        help_texts = {
            "color": "In hexadecimal digits, like #1F6FEB; the business's systems show it so.",
            "description": "What it says of a lead.",
        }

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        tag = self.instance
        business = cleaned.get("business") or (tag.business_id and tag.business)
        key = (cleaned.get("name") or "").casefold()
        others = Tag.objects.of(business.pk).exclude(pk=tag.pk) if business else ()
        for one in others:
            if one.key == key:
                told = "an archived tag of this name: take it" if one.archived_at else "this tag"
                back = " back into use" if one.archived_at else " already"
                self.add_error("name", f"The business has {told}{back}.")
        return cleaned


class StateOfTag(admin.SimpleListFilter):
    """Whether it may be put on leads."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("used", "In use"), ("archived", "Archived")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == "used":
            return queryset.in_use()
        return queryset.exclude(archived_at=None) if self.value() == "archived" else queryset


@admin.register(Tag)
class TagAdmin(KeptAdmin):
    form = TagForm
    list_display = ["named", "business", "description", "state"]
    list_display_links = ["named"]
    list_select_related = ["business"]
    list_filter = [StateOfTag, "business"]
    search_fields = ["name"]
    for_the_record = ["id", "created_at", "created_by", "modified_at", "archived_at"]
    actions = ["archive", "take_back"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [*TagForm.Meta.fields, *self.for_the_record] if obj else TagForm.Meta.fields

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        # The leads that have it are those of the business.
        return ["business", *self.for_the_record] if obj else []

    @admin.display(description="name", ordering="name")
    def named(self, tag: Tag) -> str:
        return format_html("{}{}", looks.swatch(tag.color), looks.marked(tag.name))

    @admin.display
    def state(self, tag: Tag) -> str:
        return looks.badge("archived") if tag.archived_at else looks.badge("in use", "good")

    def save_model(self, request: HttpRequest, obj: Tag, form: Any, change: bool) -> None:
        if not change:
            obj.created_by = request.user  # type: ignore[assignment]
            try:
                with transaction.atomic():
                    obj.save()
            except IntegrityError:
                raise TagExists from None
        elif form.changed_data:
            # Not the whole row, which somebody else may have archived meanwhile.
            obj.change(timezone.now(), **{one: getattr(obj, one) for one in form.changed_data})

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except TagExists as error:  # since the form was looked at
            self.message_user(request, str(error), messages.ERROR)
            return redirect(request.path)

    @admin.action(description="Archive: on no further leads", permissions=["change"])
    def archive(self, request: HttpRequest, queryset: QuerySet[Tag]) -> None:
        rows = [one for one in queryset if one.archived_at is None]
        for tag in rows:
            tag.archive(timezone.now())
            self.log_change(request, tag, "Archived.")
        self.tell(request, f"{len(rows)} archived", queryset.count() - len(rows), "archived before")

    @admin.action(description="Take back into use", permissions=["change"])
    def take_back(self, request: HttpRequest, queryset: QuerySet[Tag]) -> None:
        rows = [one for one in queryset if one.archived_at]
        for tag in rows:
            tag.change(timezone.now(), archived_at=None)
            self.log_change(request, tag, "Taken back into use.")
        self.tell(request, f"{len(rows)} in use again", queryset.count() - len(rows), "in use")

    def tell(self, request: HttpRequest, done: str, skipped: int, were: str) -> None:
        self.message_user(request, f"{done}, {skipped} were {were}.", messages.SUCCESS)


@admin.register(SourceKey)
class SourceKeyAdmin(KeptAdmin):
    list_display = ["preview", "source", "label", "created_at", "expires_at", "revoked_at"]
    list_select_related = ["source"]
    list_filter = ["is_test", "source"]
    readonly_fields = [
        *("preview", "source", "is_test", "created_at", "created_by"),
        *("expires_at", "revoked_at", "revoked_by", "last_used_at"),
    ]
    fields = ["label", *readonly_fields]
    actions = ["revoke"]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup in ("is_test__exact", "source__id__exact")  # nothing of the digest

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # a key is made on the page of its source, where it is shown once

    @admin.action(description="Revoke, with effect at once", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[SourceKey]) -> None:
        now = timezone.now()
        done = 0
        for key in queryset.live(now):  # type: ignore[attr-defined]
            key.revoke(now, by=request.user)
            self.log_change(request, key, "Revoked.")
            done += 1
        self.message_user(
            request,
            f"{done} revoked, {queryset.count() - done} had ended before.",
            messages.SUCCESS,
        )
