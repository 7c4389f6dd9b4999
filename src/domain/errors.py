"""What can be wrong with a request, said in the words of the domain."""


class GyeoljeError(Exception):
    """Base of every error this product raises on purpose; its text is safe to show to a client."""


class InvalidMoneyError(GyeoljeError):
    """An amount is not a whole, non-negative number of minor units, or two currencies met in one sum."""


class InvalidProductError(GyeoljeError):
    """Nobody could ever buy a product like this."""


class BelowHeldError(GyeoljeError):
    """A product's capacity would be less than what is sold and held of it."""


class BeyondLimitsError(GyeoljeError):
    """An order, or a price, is more or less than one order or one payment may be. Its text names the limit."""


class InvalidIdError(GyeoljeError):
    """A text that should be one of our ids does not have the shape of one."""


class InvalidApiKeyError(GyeoljeError):
    """No API key may have such a name, such scopes or such a life."""


class MalformedApiKeyError(GyeoljeError):
    """A text that should be an API key was never one of ours: mistyped, cut short, or something else."""


class OrderNotCancellableError(GyeoljeError):
    """The buyer may not give up this order: it is no longer PENDING, or money may be moving for it."""


class RefundNotPossibleError(GyeoljeError):
    """More was asked back than is left of what was paid, or the order was never paid."""


class NothingToAnswerError(GyeoljeError):
    """This order does not ask for a person."""
