"""What the browser asks the payment window for."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from fake_portone.ledger import Purchase, invalid

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Won = Annotated[int, msgspec.Meta(ge=1, le=10**15)]


class Opening(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The fields of a purchase; what is missing stays as it was asked before."""

    store_id: Text | None = None
    channel_key: Text | None = None
    order_name: Text | None = None
    total_amount: Won | None = None
    tax_free_amount: Annotated[int, msgspec.Meta(ge=0, le=10**15)] | None = None
    currency: Annotated[str, msgspec.Meta(pattern=r"^(CURRENCY_)?[A-Z]{3}\Z")] | None = None
    notice_urls: list[str] | None = None
    channel_type: Literal["LIVE", "TEST"] | None = None

    def purchase(self, before: Purchase | None) -> Purchase | None:
        """The purchase asked for, ``before`` with what was said; None if nothing was said. Raises RefusedError."""
        if self == Opening():
            return None
        said = {
            "storeId": (self.store_id, before and before.store_id),
            "channelKey": (self.channel_key, before and before.channel_key),
            "orderName": (self.order_name, before and before.order_name),
            "totalAmount": (self.total_amount, before and before.total),
            "currency": (self.currency, before and before.currency),
        }
        wanted: dict[str, Any] = {name: new if new is not None else old for name, (new, old) in said.items()}
        if missing := [name for name, value in wanted.items() if value is None]:
            raise invalid(f"the payment window needs {', '.join(missing)}")
        tax_free = self.tax_free_amount if self.tax_free_amount is not None else before.tax_free if before else 0
        if tax_free > wanted["totalAmount"]:
            raise invalid("taxFreeAmount is more than totalAmount")
        return Purchase(
            store_id=wanted["storeId"],
            channel_key=wanted["channelKey"],
            order_name=wanted["orderName"],
            total=wanted["totalAmount"],
            currency=wanted["currency"].removeprefix("CURRENCY_"),
            tax_free=tax_free,
            channel_type=self.channel_type or (before.channel_type if before else "LIVE"),
            notice_urls=self._notice_urls(before),
        )

    def _notice_urls(self, before: Purchase | None) -> tuple[str, ...]:
        if self.notice_urls is None:
            return before.notice_urls if before else ()
        for url in self.notice_urls:
            if not is_web_address(url):
                raise invalid(f"noticeUrls: {url!r} is not an http or https address")
        return tuple(self.notice_urls)


def is_web_address(url: str) -> bool:
    """Whether a browser or a webhook may be sent there."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
