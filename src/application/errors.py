"""What a use case or a port may refuse or fail with. Adapters raise these; they declare none of their own."""

from __future__ import annotations

from enum import Enum, auto

from domain.errors import GyeoljeError


class OrderNotFoundError(GyeoljeError):
    """There is no such order, or the caller may not know that there is."""


class RefundNotFoundError(GyeoljeError):
    """The order has no such refund."""


class ProductNotFoundError(GyeoljeError):
    """There is no such product."""


class ApiKeyNotFoundError(GyeoljeError):
    """There is no such API key."""


class UnauthenticatedError(GyeoljeError):
    """No good API key was shown. Which of all reasons it was is told to nobody."""


class ScopeMissingError(GyeoljeError):
    """The API key that was shown is good, and may not do this."""


class SoldOutError(GyeoljeError):
    """Less of a product is left than was asked for."""


class OrderNotPlaceableError(GyeoljeError):
    """These items cannot be one order: their currencies differ."""


class IdempotencyKeyReusedError(GyeoljeError):
    """This Idempotency-Key was used before, for another request."""


class TooManyStreamsError(GyeoljeError):
    """This order, or this process, has as many followers as it can carry."""


class WebhookRefusedError(GyeoljeError):
    """A message was not proved to come from the gateway. ``reason`` is a stable word for logs and metrics."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the webhook was refused: {reason}")
        self.reason = reason


class StoreUnavailableError(GyeoljeError):
    """The database could not do or promise what was asked of it: nothing was committed, or that is not known."""


class ConflictError(StoreUnavailableError):
    """Somebody else changed the same rows first; run the whole unit of work again."""


class Refusal(Enum):
    """What follows from a refusal of the gateway's."""

    LATER = auto()  # nothing that we know: another time it may work
    MOVED = auto()  # what is left is another sum than we said: read again
    MALFORMED = auto()  # the request lacks something, and never works as it is
    TAX_PART = auto()  # the division into taxed and untaxed does not fit
    NEVER = auto()  # it cannot be done any more


class GatewayError(GyeoljeError):
    """The gateway did not do what was asked, or did not say that it did."""


class GatewayUnavailableError(GatewayError):
    """No usable answer: time-out, refused connection, 5xx, HTML, truncation. A change asked for may have happened."""


class ListIncompleteError(GatewayUnavailableError):
    """The gateway names another number of payments than it lists, again and again: some were not seen."""


class UnreadableRecordError(GatewayUnavailableError):
    """The gateway answered, and its record of this one payment cannot be read."""


class GatewayBusyError(GatewayError):
    """The gateway is still working on this very request; nothing can be concluded, ask again later."""


class GatewayDeniedError(GatewayError):
    """The gateway does not accept our credentials (401 or 403); nothing was changed, and a person is needed."""


class GatewayRefusedError(GatewayError):
    """The gateway understood and definitely did not do it. ``code`` is its own word for why, ``kind`` what follows."""

    def __init__(self, code: str, message: str = "", *, kind: Refusal = Refusal.LATER) -> None:
        super().__init__(f"the gateway refused: {code}" + (f" ({message})" if message else ""))
        self.code = code
        self.kind = kind
