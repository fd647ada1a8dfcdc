"""Staff and their roles: who may change whom, so that nobody gets at more than they hold.

Nobody is deleted, for the record names them; they are switched off.
"""

from typing import Any

import django_otp
from django import forms
from django.apps import apps
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.forms import AdminUserCreationForm
from django.contrib.auth.models import Group, Permission, User
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest
from django.shortcuts import redirect
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from leadping.console import second_factor
from sources.admin import ListAdmin
from sources.looks import ago, badge

# Nobody adds or changes these by hand, or but superusers: such permissions open nothing. Nor do
# those to delete, for what the record needs stays.
RECORDS = (
    *("lead", "review", "lookback", "registrylist", "post", "replay", "refusalcount"),
    *("job", "worker", "group"),
)

# django-otp's own pages show secrets, and Django's of people know nothing of the rules below.
for model in (User, Group, TOTPDevice, StaticDevice):
    admin.site.unregister(model)


def held_by(person: User) -> set[int]:
    """Return the ids of the permissions of a person, also of one who is switched off."""
    rows = Permission.objects.filter(Q(user=person) | Q(group__user=person))
    return set(rows.values_list("id", flat=True))


def may_change(by: Any, person: User) -> bool:
    """Say whether somebody may change a person: a superuser anybody; others nobody who can more.

    Else whoever sets passwords could sign in as somebody with more rights than their own.
    """
    return by.is_superuser or (not person.is_superuser and held_by(person) <= held_by(by))


def roles_given_by(by: Any) -> QuerySet[Group]:
    """Return the roles that somebody may give: those whose permissions they hold themselves."""
    if by.is_superuser:
        return Group.objects.all()
    beyond = Permission.objects.exclude(id__in=held_by(by)).filter(group=OuterRef("pk"))
    return Group.objects.filter(~Exists(beyond))


class AddForm(AdminUserCreationForm):
    """A user name and a first password."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        del self.fields["username"].widget.attrs["autofocus"]  # the script of the page does it


class RoleFilter(admin.RelatedFieldListFilter):
    """People by role."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = "role"


class AccessFilter(admin.BooleanFieldListFilter):
    """People who may sign in, or may not."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = "may sign in"


@admin.register(User)
class PersonAdmin(ListAdmin, UserAdmin):
    list_display = ["username", "name", "roles", "signed_in_at", "factor", "access"]
    list_filter = [("is_active", AccessFilter), ("groups", RoleFilter)]
    add_form = AddForm
    actions = ["remove_second_factor"]
    add_fieldsets = [
        (None, {"classes": ["wide"], "fields": ["username", "password1", "password2"]})
    ]
    readonly_fields = ["roles", "access", "password_set", "factor", "signed_in_at", "date_joined"]
    filter_horizontal = []

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        rows: QuerySet[User] = super().get_queryset(request).prefetch_related("groups")
        phones = TOTPDevice.objects.filter(user=OuterRef("pk"), confirmed=True)
        codes = StaticDevice.objects.filter(user=OuterRef("pk"), confirmed=True)
        rows = rows.annotate(has_factor=Exists(phones) | Exists(codes))
        if not request.user.is_superuser:
            rows = rows.exclude(is_superuser=True)
        return rows

    # --- who may ---

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        may = super().has_change_permission(request, obj)
        return may and (obj is None or may_change(request.user, obj))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return self.add_fieldsets
        fieldsets: list[Any] = [
            (None, {"fields": ["username", "first_name", "last_name", "email"]}),
            ("Rights", {"fields": ["is_active", "is_staff", "groups"]}),
            ("Sign-in", {"fields": ["password_set", "factor", "signed_in_at", "date_joined"]}),
        ]
        if obj == request.user or not self.has_change_permission(request, obj):
            said = "Your own rights are changed by somebody else." if obj == request.user else ""
            fieldsets[1] = ("Rights", {"fields": ["roles", "access"], "description": said})
        elif request.user.is_superuser:
            beyond = {"fields": ["is_superuser", "user_permissions"], "classes": ["collapse"]}
            fieldsets.insert(2, ("Beyond roles", beyond))
        return fieldsets

    def formfield_for_manytomany(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        field = super().formfield_for_manytomany(db_field, request, **kwargs)
        if db_field.name == "groups" and field is not None:
            field.queryset = roles_given_by(request.user).order_by("name")
            field.widget = forms.CheckboxSelectMultiple()
            field.label = "Roles"
            field.help_text = "You can give the roles whose permissions you hold yourself."
        if db_field.name == "user_permissions" and field is not None:
            in_plain_words(field)
            field.help_text = "Beyond those of the roles; better give a role."
        return field

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        form: Any = super().get_form(request, obj, change=change, **kwargs)
        for name, label, told in (
            ("is_active", "May sign in", "Switch it off instead of deleting somebody."),
            ("is_staff", "Is staff", "The console opens to staff only."),
            ("is_superuser", "Is a superuser", "May do everything, roles or not."),
            ("username", "User name", ""),
        ):
            if name in form.base_fields:
                form.base_fields[name].label = label
                form.base_fields[name].help_text = told
        if "groups" in form.base_fields:
            form.base_fields["groups"].widget.can_add_related = False  # it has a page of its own
        return form

    # --- what is done ---

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        obj.is_staff = obj.is_staff or not change  # the console is the only place to sign in to
        super().save_model(request, obj, form, change)

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        """Return what is put on record: the names of fields, and of roles which they are now."""
        if add or "groups" not in form.changed_data:
            return super().construct_change_message(request, form, formsets, add)
        roles = [group.name for group in form.cleaned_data["groups"]]
        others = [name.replace("_", " ") for name in form.changed_data if name != "groups"]
        also = f" Changed {', '.join(others)}." if others else ""
        return f"Roles are now: {', '.join(roles) or 'none'}.{also}"

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> Any:
        person = self.get_object(request, unquote(id))
        if person == request.user:  # one's own is changed where the old one is asked for
            return redirect("admin:password_change")
        return super().user_change_password(request, id, form_url)

    @admin.action(description="Remove second factor", permissions=["change"])
    def remove_second_factor(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        done = without = refused = 0
        for person in queryset:
            if person.pk == request.user.pk or not may_change(request.user, person):
                refused += 1
            elif second_factor.remove(person):
                self.log_change(request, person, "Removed the second factor.")
                done += 1
            else:
                without += 1
        said = [f"{done} removed"]
        if without:
            said.append(f"{without} had none")
        if refused:
            said.append(f"{refused} are yourself or may do what you may not")
        level = messages.SUCCESS if done else messages.WARNING
        self.message_user(request, f"{', '.join(said)}.", level)

    # --- how it looks ---

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        return super().changelist_view(request, {"title": "People", **(extra_context or {})})

    @admin.display(description="name", ordering="first_name")
    def name(self, person: User) -> str:
        return person.get_full_name()

    @admin.display(description="roles")
    def roles(self, person: User) -> SafeString | str:
        names = ["superuser"] if person.is_superuser else []
        names += sorted(group.name for group in person.groups.all())
        shown = format_html_join(" ", "{}", ((badge(name),) for name in names))
        return format_html('<span class="roles">{}</span>', shown) if names else ""

    @admin.display(description="last sign-in", ordering="last_login")
    def signed_in_at(self, person: User) -> SafeString:
        return ago(person.last_login)

    @admin.display(description="second factor")
    def factor(self, person: User) -> SafeString:
        has = getattr(person, "has_factor", None)
        if has is None:
            has = django_otp.user_has_device(person)
        return badge("on") if has else badge("none")

    @admin.display(description="access", ordering="is_active")
    def access(self, person: User) -> SafeString:
        if not person.is_active:
            return badge("switched off", "bad")
        return badge("active", "good") if person.is_staff else badge("no staff", "wait")

    @admin.display(description="password")
    def password_set(self, person: User) -> SafeString:
        return badge("set") if person.has_usable_password() else badge("none")


@admin.register(Group)
class RoleAdmin(GroupAdmin):
    list_display = ["name", "people"]
    readonly_fields = ["allows", "people"]
    filter_horizontal = []

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        active = Q(user__is_active=True)
        return super().get_queryset(request).annotate(count=Count("user", filter=active))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.is_superuser

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.is_superuser

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.is_superuser

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if self.has_change_permission(request, obj):
            return ["name", "permissions"] if obj is None else ["name", "people", "permissions"]
        return ["name", "people", "allows"]

    def formfield_for_manytomany(self, db_field: Any, request: Any = None, **kwargs: Any) -> Any:
        field = super().formfield_for_manytomany(db_field, request, **kwargs)
        in_plain_words(field)
        return field

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        return super().changelist_view(request, {"title": "Roles", **(extra_context or {})})

    @admin.display(description="people", ordering="count")
    def people(self, role: Group) -> int:
        """Return how many have the role and are not switched off."""
        return int(role.count)  # type: ignore[attr-defined]

    @admin.display(description="allows to")
    def allows(self, role: Group) -> str:
        """Return what the role allows, a line each."""
        names = role.permissions.values_list("name", flat=True)
        return "\n".join(sorted(name.removeprefix("Can ") for name in names)) or "nothing"


def in_plain_words(field: Any) -> None:
    """Have a field offer the permissions that open something, by what they are called."""
    opens = Q(content_type__app_label="console")
    for one in apps.get_models():
        if admin.site.is_registered(one):
            opens |= Q(
                content_type__app_label=one._meta.app_label,
                content_type__model=one._meta.model_name,
            )
    nothing = [f"{verb}_{model}" for verb in ("add", "change") for model in RECORDS]
    field.queryset = (
        Permission.objects.filter(opens)
        .exclude(codename__startswith="delete_")
        .exclude(codename__in=nothing)
        .order_by("name")
    )
    field.widget = forms.CheckboxSelectMultiple()
    field.help_text = ""
    field.label_from_instance = lambda one: one.name.removeprefix("Can ")
