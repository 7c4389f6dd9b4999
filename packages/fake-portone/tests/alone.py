"""The fake's wheel alone: in an empty environment, from another folder, with PortOne's own SDK. Prints what it costs.

``python packages/fake-portone/tests/alone.py`` wants the build back end (uv_build) in the environment it is started
from, and a package index to install from. It is no part of the tests: it says the figures that the README gives.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

PROJECT = Path(__file__).resolve().parents[1]
SDK = "portone-server-sdk==0.21.0"
STARTS = 5
PAYMENTS = 1_000
PATIENCE = 60.0  # seconds that anything may take
QUIET = ("--quiet", "--disable-pip-version-check")
BUYER = """
import json, sys, urllib.request
from portone_server_sdk.payment import CancelledPayment, PaidPayment, PaymentClient, SucceededPaymentCancellation

url = sys.argv[1]
secret, store = "fake-api-secret-for-development", "store-00000000-0000-4000-8000-000000000000"
asked = {"storeId": store, "channelKey": "channel-key", "orderName": "VIP", "totalAmount": 71000, "currency": "KRW"}
request = urllib.request.Request(f"{url}/_fake/payments/p/pay", json.dumps(asked).encode(), method="POST")
with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request):
    pass
client = PaymentClient(secret=secret, base_url=url)
paid = client.get_payment(payment_id="p")
assert isinstance(paid, PaidPayment) and paid.amount.total == 71000, paid
part = client.cancel_payment(payment_id="p", reason="a part", amount=1000, current_cancellable_amount=71000)
rest = client.cancel_payment(payment_id="p", reason="the rest", current_cancellable_amount=70000)
assert isinstance(part.cancellation, SucceededPaymentCancellation), part
assert isinstance(rest.cancellation, SucceededPaymentCancellation), rest
gone = client.get_payment(payment_id="p")
assert isinstance(gone, CancelledPayment) and gone.amount.cancelled == 71000, gone
"""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="fake-portone-") as name:
        folder = Path(name)
        wheel = build(folder)
        fake, shop = environment(folder / "fake"), environment(folder / "shop")
        before = size(folder / "fake")
        run(fake / "python", "-m", "pip", "install", *QUIET, str(wheel))
        said("wheel", f"{wheel.stat().st_size / 1024:.0f} KiB")
        said("installed", f"{installed(fake)}, {(size(folder / 'fake') - before) / 2**20:.1f} MiB")
        run(shop / "python", "-m", "pip", "install", *QUIET, SDK)
        said("start to first answer", start_times(fake, folder))
        with serving(fake, folder) as (process, url):
            said("memory, idle", memory(process))
            run(shop / "python", "-c", BUYER, url)
            said("the official SDK", f"{SDK} reads a paid payment, and cancels it in two parts")
            pay_many(url)
            said(f"memory, after {PAYMENTS} payments", memory(process))
        said("stopped by SIGTERM", f"exit code {process.returncode}")
        if process.returncode:
            sys.exit(1)


def build(folder: Path) -> Path:
    """The wheel, built from this folder."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "pip", "wheel", *QUIET, "--no-deps", "--no-build-isolation"]
    command += ["-w", str(folder), str(PROJECT)]
    subprocess.run(command, env=os.environ | {"PATH": path}, check=True)  # noqa: S603 - our own
    return next(folder.glob("*.whl"))


def environment(folder: Path) -> Path:
    """The folder with the commands of a new, empty environment."""
    venv.create(folder, with_pip=True)
    return folder / "bin"


def run(*command: str | Path) -> str:
    done = subprocess.run(command, cwd="/", env=clean(), check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own
    return done.stdout


def installed(commands: Path) -> str:
    """Every package in the environment but pip itself."""
    lines = run(commands / "python", "-m", "pip", "list", *QUIET[1:], "--format=freeze").split()
    names = sorted(line.partition("==")[0] for line in lines if not line.startswith(("pip==", "setuptools==")))
    return f"{len(names)} packages ({', '.join(names)})"


def size(folder: Path) -> int:
    """Bytes of all files in it."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


@contextmanager
def serving(commands: Path, folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The installed command, on a free port, standing in a folder with nothing of ours in it."""
    command = [str(commands / "fake-portone"), "--port", "0", "--webhook-url", "http://127.0.0.1:9/"]
    process = subprocess.Popen(command, cwd=folder, env=clean(), stderr=subprocess.PIPE, text=True)  # noqa: S603 - our own
    assert process.stderr is not None
    try:
        yield process, process.stderr.readline().partition(" on ")[2].partition(";")[0]
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


def start_times(commands: Path, folder: Path) -> str:
    """Seconds from the start of the process to the first answer; the first start of all compiled the modules."""
    seconds = []
    for _ in range(STARTS + 1):
        begin = time.perf_counter()
        with serving(commands, folder) as (_, url):
            ask(f"{url}/_fake/ledger")
            seconds.append(time.perf_counter() - begin)
    return f"{median(seconds[1:]):.2f} s, median of {STARTS} (the very first, with compiling: {seconds[0]:.2f} s)"


def memory(process: subprocess.Popen[str]) -> str:
    """Resident memory of the process, as Linux tells it."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
    return f"{kib / 1024:.0f} MiB"


def pay_many(url: str) -> None:
    asked = b'{"storeId": "store", "channelKey": "key", "orderName": "Tea", "totalAmount": 4500, "currency": "KRW"}'
    for number in range(PAYMENTS):
        ask(f"{url}/_fake/payments/p{number}/pay", asked)


def ask(url: str, body: bytes | None = None) -> None:
    """One request, without any proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, body), timeout=PATIENCE) as answer:  # noqa: S310 - http, to ourselves
        answer.read()


def clean() -> dict[str, str]:
    """The environment without what leads back to this one."""
    ours = ("PYTHON", "VIRTUAL_ENV", "GYEOLJE_", "FAKE_PORTONE_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def said(what: str, figure: str) -> None:
    print(f"{what}: {figure}", flush=True)  # noqa: T201 - a command


if __name__ == "__main__":
    main()
