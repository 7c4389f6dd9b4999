"""The service, made to fail at one named step of its work, in one of four ways. Run by ``crashes``, as a process.

``python -m e2e.crashing_service`` is a nursery: it imports everything once and then forks a service for each line of
JSON it reads, so that a service is up in a tenth of a second. Beside its own routes each service has ``/_crash/``:
``arm`` names the step, ``state`` says whether it was reached, ``release`` ends a hang, ``work`` lets the worker begin,
``refund`` asks for a refund as an operator would.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import os
import select
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

import alembic.command  # before the fork, so that no service has to
import alembic.runtime.migration  # noqa: F401
import asyncpg  # type: ignore[import-untyped]  # noqa: F401
import uvloop
from dependency_injector import providers

from adapters.http.serving import Server
from adapters.persistence.sql import SqlStore
from application.check_due_orders import CheckDueOrders
from application.errors import GatewayUnavailableError
from application.handle_webhook_event import HandleWebhookEvent
from application.refund_order import RefundOrderCommand
from bootstrap import service
from bootstrap.container import Container, utc_now
from bootstrap.logs import configure_logs
from bootstrap.running import run_together
from bootstrap.settings import read_settings
from bootstrap.worker import work
from domain.ids import OrderId
from domain.money import Money
from gyeolje_demo.samples import load_samples

STEPS: Mapping[str, tuple[str, ...]] = {
    "place": (
        "arrived",
        "unit begun",
        "key read",
        "stock held",
        "history appended",
        "order added",
        "key kept",
        "commit asked",
        "committed",
        "unit ended",
        "pre-registration asked",
        "pre-registered",
        "done",
        "answered",
    ),
    "webhook": (
        "arrived",
        "proved",
        "order read",
        "gateway asked",
        "gateway answered",
        "unit begun",
        "inbox added",
        "history appended",
        "order saved",
        "commit asked",
        "committed",
        "unit ended",
        "followers notified",
        "done",
        "answered",
    ),
    "webhook of another sum": (
        "arrived",
        "proved",
        "order read",
        "gateway asked",
        "gateway answered",
        "unit begun",
        "inbox added",
        "history appended",
        "order saved",
        "refund saved",
        "stock released",
        "commit asked",
        "committed",
        "unit ended",
        "followers notified",
        "done",
        "answered",
    ),
    "webhook without a gateway": (
        "arrived",
        "proved",
        "order read",
        "gateway asked",
        "unit begun",
        "inbox added",
        "order saved",
        "commit asked",
        "committed",
        "unit ended",
        "done",
        "answered",
    ),
    "refund": (
        "arrived",
        "order read",
        "refunds read",
        "unit begun",
        "history appended",
        "order saved",
        "refund saved",
        "commit asked",
        "committed",
        "unit ended",
        "followers notified",
        "done",
    ),
    "check": (
        "arrived",
        "due counted",
        "unit begun",
        "leased",
        "commit asked",
        "committed",
        "unit ended",
        "gateway asked",
        "gateway answered",
        "unit begun (2)",
        "refunds read",
        "order saved",
        "commit asked (2)",
        "committed (2)",
        "unit ended (2)",
        "refunds read (2)",
        "unit begun (3)",
        "order read",
        "refunds read (3)",
        "order saved (2)",
        "refund saved",
        "commit asked (3)",
        "committed (3)",
        "unit ended (3)",
        "cancel asked",
        "cancel answered",
        "unit begun (4)",
        "order read (2)",
        "refunds read (4)",
        "order saved (3)",
        "refund saved (2)",
        "commit asked (4)",
        "committed (4)",
        "unit ended (4)",
        "gateway asked (2)",
        "gateway answered (2)",
        "order read (3)",
        "unit begun (5)",
        "refunds read (5)",
        "history appended",
        "order saved (4)",
        "refund saved (3)",
        "commit asked (5)",
        "committed (5)",
        "unit ended (5)",
        "followers notified",
        "unit begun (6)",
        "order read (4)",
        "refunds read (6)",
        "order saved (5)",
        "refund saved (4)",
        "commit asked (6)",
        "committed (6)",
        "unit ended (6)",
        "cancel asked (2)",
        "cancel answered (2)",
        "unit begun (7)",
        "order read (5)",
        "refunds read (7)",
        "order saved (6)",
        "refund saved (5)",
        "commit asked (7)",
        "committed (7)",
        "unit ended (7)",
        "gateway asked (3)",
        "gateway answered (3)",
        "order read (6)",
        "unit begun (8)",
        "refunds read (8)",
        "history appended (2)",
        "order saved (7)",
        "refund saved (6)",
        "commit asked (8)",
        "committed (8)",
        "unit ended (8)",
        "followers notified (2)",
        "done",
    ),
}
"""Every step of every flow, in the order they happen; the failure comes right after the step.

``check`` carries out two partial refunds of the same sum. A test holds this list to what a service really does.
"""


class Failure(StrEnum):
    """What happens at a step. A hang ends when it is released, or when one of the service's own deadlines ends it.

    PAUSED is the sleep of the whole process, locks, deadlines and all; the matrix has the other four.
    """

    KILLED = "killed"
    RAISED = "raised"
    CANCELLED = "cancelled"
    HUNG = "hung"
    PAUSED = "paused"


MATRIX = (Failure.KILLED, Failure.RAISED, Failure.CANCELLED, Failure.HUNG)


UNIT_SECONDS = 2.0  # the service's own deadlines, shortened so that a hang meets them soon
WEBHOOK_BUDGET = 1.5


class BrokenError(Exception):
    """What nobody foresaw."""


@dataclass(slots=True, eq=False)
class Flow:
    """One run through a flow, and the steps it has passed."""

    name: str
    seen: Counter[str] = field(default_factory=Counter)
    passed: list[str] = field(default_factory=list)
    over: bool = False


_flow: ContextVar[Flow | None] = ContextVar("flow", default=None)


class Saboteur:
    """Lets everything pass, until the armed step of the armed flow is reached for the first time."""

    def __init__(self) -> None:
        self.armed: tuple[str, str, str] | None = None
        self.struck: Flow | None = None
        self.flows: list[Flow] = []
        self.released = asyncio.Event()
        self.working = asyncio.Event()
        self._webhooks = asyncio.Condition()
        self._webhook_is_in = False

    @property
    def waiting(self) -> bool:
        """Whether a step is armed and was not reached yet."""
        return self.armed is not None and self.struck is None

    @asynccontextmanager
    async def flow(self, name: str) -> AsyncIterator[None]:
        """Steps passed in here belong to a new run of this flow."""
        flow = Flow(name)
        self.flows.append(flow)
        token = _flow.set(flow)
        try:
            yield
        finally:
            _flow.reset(token)
            flow.over = True
            if len(flow.passed) < 3 and flow is not self.struck:  # a check that found nothing due
                self.flows.remove(flow)

    @asynccontextmanager
    async def webhook(self) -> AsyncIterator[None]:
        """One webhook at a time until the armed step is reached, and none while the step is not a webhook's."""
        async with self._webhooks:
            await self._webhooks.wait_for(self._may_enter)
            self._webhook_is_in = True
        try:
            yield
        finally:
            self._webhook_is_in = False
            async with self._webhooks:
                self._webhooks.notify_all()

    async def passed(self, event: str) -> None:
        """``event`` has just happened."""
        flow = _flow.get()
        if flow is None:
            return
        flow.seen[event] += 1
        step = event if flow.seen[event] == 1 else f"{event} ({flow.seen[event]})"
        flow.passed.append(step)
        if self.armed is not None and self.struck is None and self.armed[:2] == (flow.name, step):
            self.struck = flow
            await self._strike(Failure(self.armed[2]))

    @property
    def webhook_flow(self) -> str:
        """What a webhook that comes now is a case of."""
        return self.armed[0] if self.armed is not None and self.armed[0].startswith("webhook") else "webhook"

    @property
    def gateway_is_away(self) -> bool:
        """Whether the case is about a gateway that gives no answer."""
        flow = _flow.get()
        return flow is not None and flow.name == "webhook without a gateway"

    def _may_enter(self) -> bool:
        if self.armed is None or self.struck is not None:
            return True
        return self.armed[0].startswith("webhook") and not self._webhook_is_in

    async def _strike(self, failure: Failure) -> None:
        if failure in {Failure.KILLED, Failure.PAUSED}:
            os.kill(os.getpid(), signal.SIGKILL if failure is Failure.KILLED else signal.SIGSTOP)
        async with self._webhooks:
            self._webhooks.notify_all()
        if failure is Failure.RAISED:
            raise BrokenError("nobody foresaw this")
        if failure is Failure.CANCELLED:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()  # it is told in the midst of whatever it waits for next, as tasks are
        if failure is Failure.HUNG:
            await self.released.wait()


# --- the parts of the service, each telling of its steps -----------------------------------------------------------


class _Wrapped:
    """Stands before ``inner`` and passes everything on; what ``wraps`` names goes through its wrapper."""

    def __init__(self, inner: Any, wraps: Mapping[str, Callable[[Any], Any]]) -> None:
        self._inner = inner
        self._wraps = wraps

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        return self._wraps[name](found) if name in self._wraps else found


def _telling(saboteur: Saboteur, *, before: str = "", after: str = "") -> Callable[[Any], Any]:
    def wrap(call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def called(*args: Any, **named: Any) -> Any:
            if before:
                await saboteur.passed(before)
            result = await call(*args, **named)
            if after:
                await saboteur.passed(after)
            return result

        return called

    return wrap


def _gateway(inner: Any, saboteur: Saboteur) -> _Wrapped:
    def get(call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def asked(*args: Any) -> Any:
            await saboteur.passed("gateway asked")
            if saboteur.gateway_is_away:
                raise GatewayUnavailableError("no answer")
            result = await call(*args)
            await saboteur.passed("gateway answered")
            return result

        return asked

    return _Wrapped(
        inner,
        {
            "get": get,
            "cancel": _telling(saboteur, before="cancel asked", after="cancel answered"),
            "pre_register": _telling(saboteur, before="pre-registration asked", after="pre-registered"),
        },
    )


_PARTS = {
    "orders": {
        "by_id": "order read",
        "by_payment": "order read",
        "add": "order added",
        "save": "order saved",
        "lease_due": "leased",
        "due_count": "due counted",
    },
    "refunds": {"of_order": "refunds read", "save": "refund saved"},
    "history": {"append": "history appended"},
    "inbox": {"add": "inbox added"},
    "catalog": {"hold": "stock held", "release": "stock released"},
    "placements": {"by_key": "key read", "add": "key kept"},
}


class _Unit:
    """A unit of work that tells of its steps."""

    def __init__(self, inner: Any, saboteur: Saboteur) -> None:
        self._inner = inner
        self._saboteur = saboteur

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        if self._inner.writes:
            try:
                await self._saboteur.passed("unit begun")
            except BaseException as error:
                await self._inner.__aexit__(type(error), error, error.__traceback__)
                raise
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._inner.__aexit__(*error)
        if self._inner.writes and error[0] is None:
            await self._saboteur.passed("unit ended")

    async def commit(self) -> None:
        await self._saboteur.passed("commit asked")
        await self._inner.commit()
        await self._saboteur.passed("committed")

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in _PARTS:
            return found
        return _Wrapped(found, {method: _telling(self._saboteur, after=step) for method, step in _PARTS[name].items()})


def _sabotaged(container: Container, saboteur: Saboteur) -> None:
    store = SqlStore(container.engine(), seconds=UNIT_SECONDS)
    unit = {name: lambda make: lambda: _Unit(make(), saboteur) for name in ("reading", "writing")}
    container.store.override(providers.Object(_Wrapped(store, unit)))
    container.gateway.override(providers.Object(_gateway(container.gateway(), saboteur)))
    notified = {"publish": _telling(saboteur, after="followers notified")}
    container.notifier.override(providers.Object(_Wrapped(container.notifier(), notified)))
    use_cases = container.use_cases()
    handle = HandleWebhookEvent(
        container.store(), container.gateway(), container.reconcile(), utc_now, budget=WEBHOOK_BUDGET
    )
    wrapped: dict[str, Any] = {
        "place_order": _telling(saboteur, after="done")(use_cases.place_order),
        "handle_webhook_event": _telling(saboteur, before="proved", after="done")(handle),
        "refund_order": _telling(saboteur, after="done")(use_cases.refund_order),
    }
    container.use_cases.override(providers.Object(replace(use_cases, **wrapped)))


class _Front:
    """Stands before the application: begins the flows, and is the way to the saboteur."""

    def __init__(self, app: Any, saboteur: Saboteur, container: Container) -> None:
        self._app = app
        self._saboteur = saboteur
        self._container = container

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path, saboteur = scope.get("path", ""), self._saboteur
        if path.startswith("/_crash/"):
            status, said = await self._told(path.removeprefix("/_crash/"), json.loads(await _body(receive) or b"{}"))
            headers = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": json.dumps(said).encode()})
        elif path == "/api/v1/webhooks/portone":
            async with saboteur.webhook(), saboteur.flow(saboteur.webhook_flow):
                await self._in_flow(scope, receive, send)
        elif path == "/api/v1/orders" and scope["method"] == "POST":
            async with saboteur.flow("place"):
                await self._in_flow(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _in_flow(self, scope: Any, receive: Any, send: Any) -> None:
        await self._saboteur.passed("arrived")
        await self._app(scope, receive, send)
        await self._saboteur.passed("answered")

    async def _told(self, what: str, said: Any) -> tuple[int, Any]:
        saboteur = self._saboteur
        if what == "arm":
            assert said["step"] in STEPS[said["flow"]]
            saboteur.armed = said["flow"], said["step"], Failure(said["failure"]).value
        elif what == "work":
            saboteur.working.set()
        elif what == "release":
            saboteur.released.set()
        elif what == "refund":
            return await self._refund(said)
        pool: Any = self._container.engine().pool
        struck = saboteur.struck
        return 200, {
            "struck": struck and struck.passed,
            "over": struck is not None and struck.over,
            "checkedOut": pool.checkedout(),
            "flows": [[flow.name, flow.passed] for flow in saboteur.flows],
        }

    async def _refund(self, said: Any) -> tuple[int, Any]:
        command = RefundOrderCommand(
            order_id=OrderId(said["order"]),
            amount=Money(said["amount"], "KRW"),
            reason="asked",
            requested_by="operator",
            idempotency_key=said["key"],
        )
        async with self._saboteur.flow("refund"):
            await self._saboteur.passed("arrived")
            refund = await self._container.use_cases().refund_order(command)
            return 200, {"refund": refund.id}


async def _body(receive: Any) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body


# --- one service ---------------------------------------------------------------------------------------------------


class _Checking:
    """Checks that pass through the saboteur's hands."""

    def __init__(self, check_due_orders: CheckDueOrders, saboteur: Saboteur) -> None:
        self._check_due_orders = check_due_orders
        self._saboteur = saboteur
        self.finish = check_due_orders.finish

    async def __call__(self) -> Any:
        await self._saboteur.working.wait()
        async with self._saboteur.flow("check"):
            await self._saboteur.passed("arrived")
            checked = await self._check_due_orders()
            if checked:
                await self._saboteur.passed("done")
            return checked


async def _serve(port: int) -> None:
    saboteur = Saboteur()
    container = Container(settings=read_settings())
    _sabotaged(container, saboteur)
    checking: Any = _Checking(container.use_cases().check_due_orders, saboteur)
    async with service.opened(container):
        await load_samples(container.use_cases())
        app: Any = service.application(container)
        app.asgi_handler = _Front(app.asgi_handler, saboteur, container)
        server = Server(app, [_listen(port)])
        await run_together([server], [lambda stop: work(checking, stop, idle=0.1, troubled=0.3)])


def _listen(port: int) -> socket.socket:
    """The port is held by whoever chose it, without listening."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", port))
    sock.listen(128)
    sock.setblocking(False)
    return sock


# --- the nursery ---------------------------------------------------------------------------------------------------


def main() -> None:
    """Fork a service for each line of standard input, and tell of each that began and ended."""
    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    gc.freeze()
    pending = b""
    while True:
        ready, _, _ = select.select([0, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            _bury()
        if 0 in ready:
            read = os.read(0, 65536)
            if not read:
                return  # the services die with us
            *lines, pending = (pending + read).split(b"\n")
            for line in lines:
                _bear(json.loads(line), (woken, wake))


def _bear(wanted: Any, ours: tuple[int, ...]) -> None:
    pid = os.fork()
    if pid:
        _say({"started": pid, "name": wanted["name"]})
        return
    code = 1
    try:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for end in ours:
            os.close(end)
        nothing = os.open(os.devnull, os.O_RDWR)
        log = os.open(wanted["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for old, new in ((nothing, 0), (nothing, 1), (log, 2)):
            os.dup2(old, new)
        sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
        os.environ.update(wanted["environment"])
        os.chdir(Path(wanted["log"]).parent)
        configure_logs(json=True)
        uvloop.run(_serve(wanted["port"]))
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
        raise
    finally:
        sys.stderr.flush()
        os._exit(code)


def _bury() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        _say({"ended": pid, "code": os.waitstatus_to_exitcode(status)})


def _say(what: Mapping[str, object]) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    main()
