"""Users."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin

from monitoring.models import User

admin.site.register(User, UserAdmin)
admin.site.site_header = "Candle Desk"
admin.site.index_title = "Records"
admin.site.enable_nav_sidebar = False
