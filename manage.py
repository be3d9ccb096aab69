#!/usr/bin/env python3
"""Django's command line for Ambit."""

import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ambit.config.settings")
    from django.core.management import execute_from_command_line

    from ambit.config.env import InvalidSetting

    try:
        execute_from_command_line(sys.argv)
    except InvalidSetting as error:
        sys.exit(f"ambit: {error}")
