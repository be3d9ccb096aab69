"""The web process: refuses to serve when isolation does not hold, or what was erased is back."""

from __future__ import annotations

import os
from typing import Any, cast

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ambit.config.settings")
_django = get_asgi_application()

from ambit.api.uploads import limit_body  # noqa: E402 - needs Django set up
from ambit.config.isolation import require_isolation  # noqa: E402 - needs Django set up
from ambit.config.restored import require_replayed  # noqa: E402 - needs Django set up
from ambit.inference.tokens import count_tokens  # noqa: E402 - needs Django set up

require_isolation()
require_replayed()
# Read now: a large one takes a second, in which no stream would go on; and a wrong one is told at once.
count_tokens("")
# Django types its messages as Mapping, ASGI as dict: the same callable.
application = limit_body(cast(Any, _django))
