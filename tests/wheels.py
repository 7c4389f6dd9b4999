"""The wheels that ship, each in an empty environment and from another folder: what is missing from one is missed here.

``python tests/wheels.py`` builds them, then

1. installs the fake alone, and has PortOne's own SDK prepare, read and cancel payments against it;
2. installs gyeolje alone, which has no fake to import, and completes an order against that fake by its webhook;
3. adds the extra ``demo``, and plays it.

It needs the development environment for two things, the build back end and the SDK, and a package index for the rest.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 30.0  # seconds that anything may take
PACKAGES = (".", "packages/fake-portone", "packages/gyeolje-demo")
SECRET = "fake-api-secret-for-development"
OPENED = {"storeId": "store-00000000-0000-4000-8000-000000000000", "channelKey": "channel-key-test", "orderName": "Tea"}
PURCHASE = OPENED | {"totalAmount": 4_500, "currency": "KRW"}


class Environment:
    """An environment of its own, and a folder of its own to stand in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "elsewhere"
        self.folder.mkdir(parents=True)
        venv.create(folder / "venv", with_pip=True)
        self._bin = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")

    def install(self, *what: str) -> None:
        self.run("python", "-m", "pip", "install", "-q", "--disable-pip-version-check", *what)

    def run(self, command: str, *arguments: str, code: int = 0, variables: Mapping[str, str] | None = None) -> str:
        """What a command printed that must end with ``code``."""
        ended = subprocess.run(
            [str(self._bin / command), *arguments],
            cwd=self.folder,
            env=_clean() | dict(variables or {}),
            capture_output=True,
            text=True,
            check=False,
        )
        printed = ended.stdout + ended.stderr
        assert ended.returncode == code, f"{command} {arguments} ended with {ended.returncode}:\n{printed}"
        return printed

    def has(self, module: str) -> bool:
        """Whether ``module`` can be imported here."""
        code = f"import importlib.util as u; print(u.find_spec({module!r}) is not None)"
        return self.run("python", "-c", code).strip() == "True"

    @contextmanager
    def running(self, command: str, *arguments: str, variables: Mapping[str, str] | None = None) -> Iterator[None]:
        """A command that runs meanwhile, and ends well when it is told to."""
        process = subprocess.Popen(
            [str(self._bin / command), *arguments],
            cwd=self.folder,
            env=_clean() | dict(variables or {}),
            stderr=subprocess.PIPE,
        )
        try:
            yield
        finally:
            process.terminate()
            _, said = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, f"{command} ended with {process.returncode}:\n{said.decode()}"


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="gyeolje-wheels-") as name:
        work = Path(name)
        dist = build(work / "dist")
        port, shop_port = free_port(), free_port()
        fake, shop = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{shop_port}"

        portone = Environment(work / "portone")
        portone.install("-c", str(pins(work)), str(next(dist.glob("fake_portone-*.whl"))))
        assert not any(map(portone.has, ("domain", "application", "adapters", "bootstrap", "litestar"))), "fake alone"
        service = Environment(work / "service")
        service.install("--require-hashes", "-r", str(ROOT / "requirements.lock"))
        service.install("--no-deps", str(next(dist.glob("gyeolje-*.whl"))))
        with portone.running(
            "fake-portone", "--port", str(port), "--webhook-url", f"{shop}/api/v1/webhooks/portone", "--speed", "600"
        ):
            until(lambda: ask(f"{fake}/_fake/ledger"))
            the_official_sdk_pays_reads_and_cancels(fake)
            told("the fake's wheel alone: PortOne's SDK pays, reads and cancels")

            for module in ("fake_portone", "gyeolje_demo", "adapters.portone.fake_gateway", "starlette"):
                assert not service.has(module), f"production has {module}"
            assert "pip install 'gyeolje[demo]'" in service.run("gyeolje", "demo", "--once", code=1)
            variables = {
                "GYEOLJE_GATEWAY": "fake",
                "GYEOLJE_DATABASE_URL": f"sqlite+aiosqlite:///{work / 'shop.db'}",
                "PORTONE_API_URL": fake,
            }
            service.run("gyeolje", "migrate", variables=variables)
            service.run("gyeolje", "products", "put", "tea", "--name", "Tea", "--price", "4500", variables=variables)
            with service.running("gyeolje", "serve", "--port", str(shop_port), variables=variables):
                until(lambda: ask(f"{shop}/health/ready"))
                a_webhook_completes_an_order(fake, shop)
        told("gyeolje's wheel alone: no fake in it, and a webhook completes an order")

        service.install("--require-hashes", "-r", str(ROOT / "requirements-demo.lock"))
        service.install("--no-index", "--find-links", str(dist), "gyeolje[demo]")
        printed = service.run("gyeolje", "demo", "--once")
        assert "the ledger balances" in printed, printed
        told("gyeolje[demo]: plays a purchase")


def build(dist: Path) -> Path:
    """The folder with a wheel of each package."""
    for package in PACKAGES:
        command = [sys.executable, "-m", "pip", "wheel", "-q", "--disable-pip-version-check", "--no-deps"]
        command += ["--no-build-isolation", "--wheel-dir", str(dist), str(ROOT / package)]
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        subprocess.run(command, env=os.environ | {"PATH": path}, check=True)
    return dist


def pins(work: Path) -> Path:
    """The locked versions as constraints: a wheel from here has no hash to require."""
    path = work / "constraints.txt"
    locked = (ROOT / "requirements-demo.lock").read_text("utf-8")
    path.write_text("\n".join(re.findall(r"^\S+==[^\s;\\]+", locked, re.MULTILINE)) + "\n")
    return path


def the_official_sdk_pays_reads_and_cancels(fake: str) -> None:
    """PortOne's SDK, of this environment, against the fake of the other one; the buyer is played."""
    from portone_server_sdk.payment import (  # noqa: PLC0415 - the one thing here that is not of the standard library
        CancelledPayment,
        PaidPayment,
        PaymentClient,
        SucceededPaymentCancellation,
    )

    client = PaymentClient(secret=SECRET, base_url=fake)
    client.pre_register_payment(payment_id="a-payment", total_amount=PURCHASE["totalAmount"], currency="KRW")  # type: ignore[arg-type]
    ask(f"{fake}/_fake/payments/a-payment/pay", PURCHASE)
    paid = client.get_payment(payment_id="a-payment")
    assert isinstance(paid, PaidPayment), paid
    assert paid.amount.total == PURCHASE["totalAmount"], paid
    cancelled = client.cancel_payment(payment_id="a-payment", reason="it was only a test")
    assert isinstance(cancelled.cancellation, SucceededPaymentCancellation), cancelled
    assert isinstance(client.get_payment(payment_id="a-payment"), CancelledPayment)


def a_webhook_completes_an_order(fake: str, shop: str) -> None:
    """One purchase, in which nobody tells the service that it was paid but the fake."""
    placed = ask(f"{shop}/api/v1/orders", {"items": [{"productId": "tea", "quantity": 1}]})
    checkout, order = placed["checkout"], f"{shop}/api/v1/orders/{placed['order']['id']}"
    opened = {name: checkout[name] for name in PURCHASE}
    ask(f"{fake}/_fake/payments/{checkout['paymentId']}/pay", opened)
    bearer = {"Authorization": f"Bearer {placed['token']}"}
    until(lambda: ask(order, headers=bearer)["status"] == "COMPLETED")
    deliveries = ask(f"{fake}/_fake/deliveries")["deliveries"]
    statuses = [
        attempt["status"]
        for delivery in deliveries
        if delivery["payment"] == checkout["paymentId"]
        for attempt in delivery["attempts"]
    ]
    assert 200 in statuses, deliveries


def ask(url: str, body: Mapping[str, object] | None = None, headers: Mapping[str, str] | None = None) -> Any:
    """What is answered, as JSON: to GET, or to POST where there is a body."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"} | dict(headers or {}))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=PATIENCE) as answer:
        return json.load(answer)


def until(wanted: Callable[[], Any]) -> None:
    """Ask again and again until the answer is as wanted; another process's state can only be asked for."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if wanted():
                return
        except HTTPError:
            raise
        except (URLError, ConnectionError):
            pass  # it does not listen yet
        assert time.monotonic() < deadline, "nothing came of it"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def told(what: str) -> None:
    print(f"{what}: ok", flush=True)


def _clean() -> dict[str, str]:
    """Our environment without what would lead back to this tree, or to somebody's account."""
    ours = ("GYEOLJE_", "PORTONE_", "PYTHON", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


if __name__ == "__main__":
    arguments: Sequence[str] = sys.argv[1:]
    if arguments:
        raise SystemExit(__doc__)
    main()
