"""API tokens in the admin: everybody makes and revokes their own."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from desk import tokens
from desk.models import ApiToken
from monitoring import clock
from monitoring.admin.base import actor_of


class TokenForm(forms.ModelForm):
    """The name of a new token, which its owner has not used yet."""

    owner: Any = None

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if ApiToken.objects.filter(user=self.owner, name=name).exists():
            raise forms.ValidationError("you have a token of this name")
        return name


@admin.register(ApiToken)
class ApiTokenAdmin(admin.ModelAdmin):
    form = TokenForm
    fields = ("name",)
    list_display = ("name", "user", "created_at", "last_used_at", "revoked_at")
    actions = ("revoke",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiToken]:
        found = super().get_queryset(request)
        return found if request.user.is_superuser else found.filter(user=request.user)

    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: bool) -> None:
        user: Any = request.user
        text = tokens.make(user=user, name=obj.name, actor=actor_of(request), now=clock.now())
        messages.warning(request, f"The token, which is not shown again: {text}")
        obj.user, obj.pk = user, ApiToken.objects.get(user=user, name=obj.name).pk

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **more: Any) -> Any:
        form = super().get_form(request, obj, change, **more)
        form.owner = request.user  # type: ignore[attr-defined]
        return form

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """The audit log has it."""

    @admin.action(description="Revoke")
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        for token in queryset:
            tokens.revoke(token, actor=actor_of(request), now=clock.now())
        messages.success(request, "They open nothing any more.")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.is_staff

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.is_staff

    def has_module_permission(self, request: HttpRequest) -> bool:
        return request.user.is_staff

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.is_staff
