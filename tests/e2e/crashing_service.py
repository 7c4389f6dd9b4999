"""The service, made to die by SIGKILL at one named step of its work. Run by ``test_crashes``, as a process.

Usage: crashing_service.py PORT STEP, where STEP is one of STEPS.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Self

import uvloop
from dependency_injector import providers

from bootstrap import service
from bootstrap.container import Container
from bootstrap.logs import configure_logs
from bootstrap.serving import listen
from bootstrap.settings import read_settings

STEPS = (
    "webhook read",
    "order read",
    "gateway asked",
    "gateway answered",
    "unit begun",
    "inbox added",
    "history appended",
    "order saved",
    "commit asked",
    "committed",
    "followers rung",
)
"""What happens between a webhook's arrival and its answer, in this order; death comes right after each."""


def main() -> None:
    port, step = int(sys.argv[1]), sys.argv[2]
    if step not in STEPS:
        raise SystemExit(f"no such step: {step}")
    configure_logs(json=True)
    container = Container(settings=read_settings())
    mine = _Killer(step)
    container.webhook_reader.override(providers.Object(mine.after("webhook read", container.webhook_reader())))
    container.store.override(
        providers.Object(_Wrapped(container.store(), {"reading": mine.unit, "writing": mine.unit}))
    )
    container.gateway.override(providers.Object(_Wrapped(container.gateway(), {"get": mine.asking})))
    container.notifier.override(
        providers.Object(_Wrapped(container.notifier(), {"publish": mine.after_awaiting("followers rung")}))
    )
    uvloop.run(service.serve(container, listen("127.0.0.1", port), with_worker=False))


class _Wrapped:
    """Stands before ``inner`` and passes everything on; what ``wraps`` names goes through its wrapper."""

    def __init__(self, inner: Any, wraps: dict[str, Callable[[Any], Any]]) -> None:
        self._inner = inner
        self._wraps = wraps

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        return self._wraps[name](found) if name in self._wraps else found


class _Killer:
    """Kills this process after its step, once a webhook has been read: what went before was another request's."""

    def __init__(self, step: str) -> None:
        self._step = step
        self._armed = False

    def passed(self, step: str) -> None:
        if step == "webhook read":
            self._armed = True
        if self._armed and step == self._step:
            os.kill(os.getpid(), signal.SIGKILL)

    def after(self, step: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any) -> Any:
            result = call(*args)
            self.passed(step)
            return result

        return called

    def after_awaiting(self, step: str) -> Callable[[Any], Any]:
        def wrap(call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
            async def awaited(*args: Any, **named: Any) -> Any:
                result = await call(*args, **named)
                self.passed(step)
                return result

            return awaited

        return wrap

    def asking(self, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def asked(*args: Any) -> Any:
            self.passed("gateway asked")
            result = await call(*args)
            self.passed("gateway answered")
            return result

        return asked

    def unit(self, make: Callable[[], Any]) -> Callable[[], Any]:
        return lambda: _Unit(make(), self)


class _Unit:
    """A unit of work that tells the killer of each of its steps."""

    def __init__(self, inner: Any, killer: _Killer) -> None:
        self._inner = inner
        self._killer = killer

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        if self._inner.writes:
            self._killer.passed("unit begun")
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._inner.__aexit__(*error)

    async def commit(self) -> None:
        self._killer.passed("commit asked")
        await self._inner.commit()
        self._killer.passed("committed")

    def __getattr__(self, name: str) -> Any:
        after = self._killer.after_awaiting
        wraps = {
            "orders": {"by_payment": after("order read"), "save": after("order saved")},
            "inbox": {"add": after("inbox added")},
            "history": {"append": after("history appended")},
        }
        found = getattr(self._inner, name)
        return _Wrapped(found, wraps[name]) if name in wraps else found


if __name__ == "__main__":
    main()
