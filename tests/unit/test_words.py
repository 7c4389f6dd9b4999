"""One word an idea: retired words stay retired, and the glossary names what there is."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from enum import StrEnum
from fnmatch import fnmatch
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from adapters.persistence import tables
from application import ports
from application.handle_webhook_event import WebhookOutcome
from domain.api_key import KeyKind, KeyState, Scope
from domain.attention import AttentionKind
from domain.audit import FindingKind
from domain.history import HistoryKind
from domain.lifecycle import CancelReason, OrderStatus
from domain.payment import CancellationStatus, PaymentStatus
from domain.refund import Need, RefundStatus

ROOT = Path(__file__).parents[2]
GLOSSARY = "docs/glossary.md"
DECISION = "docs/adr/0014-a-room-for-each-purpose.md"

SETTLE = frozenset({"settle", "settles", "settled", "settling", "settler", "unsettled", "settlement", "settlements"})
LOOK = frozenset({"look", "looks", "looked", "looking", "looker", "lookup", "lookups"})
BELL = frozenset({"bell", "bells", "ring", "rings", "rang", "rung", "ringing", "ringer", "wakeup", "wakeups"})
RETIRED = SETTLE | LOOK | BELL

# Where retired words may stand: files, which of the words, and why.
EXEMPT = [
    ("src/adapters/persistence/migrations/versions/0001_*.py", SETTLE | LOOK, "released: a migration is never changed"),
    ("src/adapters/persistence/migrations/versions/0003_*.py", SETTLE | LOOK, "it renames, so it says what from"),
    ("tests/contract/made_by_0002.sql", SETTLE | LOOK, "a database as the version before 0003 wrote it"),
    ("tests/contract/test_upgrading.py", SETTLE | LOOK, "it compares that database with ours, name by name"),
    (GLOSSARY, frozenset({"settlement"}), "the one place that says what the field means by it"),
    (DECISION, RETIRED, "the decision to retire them names them"),
    ("tests/unit/test_words.py", RETIRED, "this list"),
]
# What is no text of ours, and is not read at all.
UNREAD = ["*.lock", "*/package-lock.json"]
# Names that others gave, wherever they stand.
FOREIGN = ["signal.set_wakeup_fd"]

_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_CODE = re.compile(r"`[^`\n]+`")


def retired_in(text: str) -> list[str]:
    """The retired words in ``text``; an identifier is as many words as its underscores and capitals make of it."""
    return [part for part in _PART.findall(text) if part.lower() in RETIRED]


def ours(path: str, text: str) -> str:
    """What of a file is held to the words: all but names that others gave, and columns that say what was once said."""
    for name in FOREIGN:
        text = text.replace(name, "")
    if path == "CHANGELOG.md":  # what was released is history; and a name in code may be told to whoever used it
        return _CODE.sub("", re.split(r"^## \[?\d", text, maxsplit=1, flags=re.MULTILINE)[0])
    if path == GLOSSARY:
        return "\n".join(line.rsplit("|", 2)[0] if line.startswith("|") else line for line in text.splitlines())
    return text


@cache
def our_files() -> dict[str, str | None]:
    """Every file that is, or is about to be, in the repository; None for the text of what is none."""
    git = shutil.which("git") or "git"
    command = [git, "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S603 - ours
    names = sorted(name for name in listed.split("\0") if name and (ROOT / name).is_file())
    return {name: read(name) for name in names}


def read(name: str) -> str | None:
    if any(fnmatch(name, pattern) for pattern in UNREAD):
        return None
    try:
        return (ROOT / name).read_text("utf-8")
    except UnicodeDecodeError:
        return None  # a picture


def found() -> Iterator[tuple[str, int, str]]:
    """Each retired word: file, line (0 for the file's name), word."""
    for path, text in our_files().items():
        yield from ((path, 0, word) for word in retired_in(path))
        for number, line in enumerate(ours(path, text or "").splitlines(), 1):
            yield from ((path, number, word) for word in retired_in(line))


def is_exempt(path: str, word: str) -> bool:
    return any(fnmatch(path, pattern) and word.lower() in words for pattern, words, _ in EXEMPT)


@pytest.mark.parametrize(
    "text",
    [
        "look_at",
        "lookAt",
        "LookAtDueOrders",
        "LOOK_AT",
        "a bell",
        "_rung",
        "settledAt",
        "Order.settle",
        "unsettled",
        "test_settling.py",
        "rings the follower",
        "nobody looked",
        "wakeups",
        '{"status": "settled"}',
        "docs/adr/0011-the-sweep-settles-nothing.md",
    ],
)
def test_a_retired_word_is_found_however_it_is_written(text: str) -> None:
    assert len(retired_in(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "string",
        "during",
        "labelledby",
        "range",
        "expiring StringIO ordering",
        "overlook",
        "outlook",
        "checkAt",
        "wake",
        "belly",
        "grunge",
    ],
)
def test_other_words_are_not_taken_for_retired_ones(text: str) -> None:
    assert retired_in(text) == []


def test_of_the_glossary_only_the_column_of_old_words_is_let_through() -> None:
    row = "| **check** | ask | `orders.check_at` | look |"
    assert retired_in(ours(GLOSSARY, row)) == []
    assert retired_in(ours(GLOSSARY, row.replace("ask", "a look"))) == ["look"]
    assert retired_in(ours(GLOSSARY, "a look beside the table")) == ["look"]


def test_of_the_change_log_only_names_in_code_and_what_was_released_are_let_through() -> None:
    text = "## Unreleased\n- `lookAt` is `checkAt`; nobody looks.\n## [0.1.0]\n- A bell.\n"
    assert retired_in(ours("CHANGELOG.md", text)) == ["looks"]


def test_a_name_that_others_gave_is_not_ours_to_change() -> None:
    assert retired_in(ours("any.py", "signal.set_wakeup_fd(wake)")) == []
    assert retired_in(ours("any.py", "wakeup_fd")) == ["wakeup"]


def test_no_retired_word_is_left() -> None:
    left = [f"{path}:{line}: {word}" for path, line, word in found() if not is_exempt(path, word)]
    assert not left, "\n".join(["these words are retired, docs/glossary.md says what is said instead:", *left])


def test_every_exemption_is_needed() -> None:
    met = [(path, word.lower()) for path, _, word in found()]
    for pattern, words, why in EXEMPT:
        assert any(fnmatch(path, pattern) and word in words for path, word in met), f"{pattern} ({why})"
    texts = [text for text in our_files().values() if text is not None]
    for name in FOREIGN:
        assert any(name in text for text in texts), name
    for pattern in UNREAD:
        assert any(fnmatch(path, pattern) for path in our_files()), pattern


# --- the glossary, held against the code ----------------------------------------------------------------------------

PAGE = (ROOT / GLOSSARY).read_text("utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| ")]
NAMED = sorted({name.strip("`") for row in ROWS for name in _CODE.findall(row[2])}) if ROWS else []
TABLES = {table.name: table for table in vars(tables).values() if hasattr(table, "columns")}


def exists(name: str) -> bool:
    """Whether ``name`` is a file of ours, a column (``table.column``), or a symbol (``module.Symbol``)."""
    if "/" in name:
        return (ROOT / name).exists()
    table, _, column = name.partition(".")
    if table in TABLES:
        return column in TABLES[table].c or not column
    return is_symbol(name)


def is_symbol(name: str) -> bool:
    module, rest = name, list[str]()
    while not is_module(module):
        module, _, last = module.rpartition(".")
        rest.insert(0, last)
        if not module:
            return False
    here: object = import_module(module)
    for part in rest:
        here = getattr(here, part, None)
    return here is not None


def is_module(name: str) -> bool:
    try:
        return bool(name) and find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def test_the_glossary_has_its_rows() -> None:
    assert len(ROWS) > 30
    assert {len(row) for row in ROWS} == {4}, "word, meaning, where, was called"
    assert len(NAMED) > 30


def test_what_is_in_no_house_is_not_found_in_this_one() -> None:
    for name in ("domain.order.Order.bell", "domain.bell", "orders.look_at", "src/domain/bell.py", "nothing"):
        assert not exists(name), name


@pytest.mark.parametrize("name", NAMED)
def test_what_the_glossary_names_exists(name: str) -> None:
    assert exists(name)


@pytest.mark.parametrize(
    "words",
    [
        HistoryKind,
        WebhookOutcome,
        OrderStatus,
        CancelReason,
        PaymentStatus,
        RefundStatus,
        Need,
        AttentionKind,
        CancellationStatus,
        FindingKind,
        KeyKind,
        Scope,
        KeyState,
    ],
)
def test_the_glossary_has_every_word_of_a_fixed_list(words: type[StrEnum]) -> None:
    for word in words:
        assert f"`{word.value}`" in PAGE, f"{words.__name__}.{word.name}"


def test_what_the_picture_of_the_house_names_exists() -> None:
    page = (ROOT / "docs/architecture.md").read_text("utf-8")
    named = {name.strip("`") for name in _CODE.findall(page) if re.fullmatch(r"`[\w/.-]+(/|\.py)`", name)}
    inside = [
        "",
        "src/",
        "src/adapters/portone/",
        "src/application/ports/",
        "src/bootstrap/",
        "src/adapters/http/",
        "tests/e2e/",
    ]
    assert len(named) > 30
    missing = sorted(name for name in named if not any((ROOT / folder / name).exists() for folder in inside))
    assert missing == []


def test_the_glossary_names_every_port() -> None:
    for name in ports.__all__:
        assert any(symbol.rpartition(".")[2] == name for symbol in NAMED), name
