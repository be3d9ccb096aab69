"""Django applications of the composition root."""

from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class Config(AppConfig):
    """System checks and commands."""

    name = "ambit.config"
    label = "ambit_config"
    default = True


class AdminSite(admin_apps.AdminConfig):
    """Django's admin with Ambit's site."""

    default_site = "ambit.admin.site.AmbitAdminSite"
    default = False
