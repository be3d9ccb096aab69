"""Django application of the admin web UI."""

from django.apps import AppConfig


class AdminUi(AppConfig):
    """Registers the pages."""

    name = "ambit.admin"
    label = "ambit_admin"
