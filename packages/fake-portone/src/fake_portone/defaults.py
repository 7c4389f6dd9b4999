"""What the fake takes for granted where nothing else is said. None of it guards anything."""

from __future__ import annotations

import base64

DEFAULT_API_SECRET = "fake-api-secret-for-development"  # noqa: S105 - the fake's, which guards nothing
DEFAULT_STORE_ID = "store-00000000-0000-4000-8000-000000000000"
DEFAULT_CHANNEL_KEY = "channel-key-00000000-0000-4000-8000-000000000000"
DEFAULT_WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"fake webhook secret, 32 bytes ok").decode()
DEFAULT_WEBHOOK_URL = "http://127.0.0.1:8000/api/v1/webhooks/portone"
