"""Names of things. All of ours are 128 random bits or more, so that none can be guessed or counted."""

from __future__ import annotations

import re
from typing import NewType, Self

from domain.errors import InvalidIdError

OrderId = NewType("OrderId", str)
RefundId = NewType("RefundId", str)
ProductId = NewType("ProductId", str)
WebhookId = NewType("WebhookId", str)
ApiKeyId = NewType("ApiKeyId", str)

_PAYMENT_ID = re.compile(r"[A-Za-z0-9]{32}", re.ASCII)


class PaymentId(str):
    """Our name for a payment, ``[A-Za-z0-9]{32}``: the one shape that every payment provider behind PortOne takes.

    Only this type may be put into a gateway's URL: ``.`` and ``..`` survive percent-encoding and would
    address another endpoint. Raises InvalidIdError for any other text.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Check ``text``."""
        if not _PAYMENT_ID.fullmatch(text):
            raise InvalidIdError(f"{text[:64]!r} is not a paymentId of ours: 32 letters and digits")
        return super().__new__(cls, text)
