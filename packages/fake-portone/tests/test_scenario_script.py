"""What is wrong with a story is said before anything happens: the file, the step as its writer counts it, the field."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from fake_portone.faults import Fault
from fake_portone.opening import Opening
from fake_portone.script import WORDS, Scenario, ScenarioError, read_scenario

EXAMPLES = Path(__file__).parents[1] / "scenarios"
PAGE = Path(__file__).parents[1] / "docs" / "fake-portone.md"
BEGINNING = 'title = "A story"\n[[step]]\ndo = "await_payment"\npayment = "ticket"\n'


def read(tmp_path: Path, text: str) -> Scenario:
    path = tmp_path / "story.toml"
    path.write_text(text, encoding="utf-8")
    return read_scenario(path)


def complaint(tmp_path: Path, text: str) -> str:
    with pytest.raises(ScenarioError) as error:
        read(tmp_path, text)
    said = str(error.value)
    assert said.startswith(f"{tmp_path / 'story.toml'}: ")
    return said.removeprefix(f"{tmp_path / 'story.toml'}: ")


@pytest.mark.parametrize(
    ("step", "wrong"),
    [
        ('do = "payy"', "step 2 (payy), field `do`: Invalid value 'payy'; there are await_payment, open, pay, "),
        ('payment = "ticket"', "step 2: Object missing required field `do`"),
        ('do = "pay"', "step 2 (pay): Object missing required field `payment`"),
        ('do = "pay"\npayment = "ticket"\nammount = 3', "step 2 (pay): Object contains unknown field `ammount`"),
        ('do = "pay"\npayment = "ticket"\ntotalAmount = "3"', "step 2 (pay), field `totalAmount`: Expected `int"),
        ('do = "pay"\npayment = "ticket"\ntotalAmount = 0', "step 2 (pay), field `totalAmount`: Expected `int` >= 1"),
        (
            'do = "pay"\npayment = "seat"',
            "step 2 (pay), field `payment`: no step before has awaited a payment named 'sea",
        ),
        ('do = "pay"\npayment = "a seat"', "step 2 (pay), field `payment`: Expected `str` matching regex"),
        (
            'do = "await_payment"\npayment = "ticket"',
            "step 2 (await_payment), field `payment`: 'ticket' is the name of",
        ),
        ('do = "await_payment"\npayment = "seat"\ntimeout = 0', "step 2 (await_payment), field `timeout`: Expected"),
        ('do = "faults"\non = [{name = "on_fire"}]', "step 2 (faults), field `on[0]`: there is no fault 'on_fire'"),
        (
            'do = "faults"\non = [{name = "gateway_5xx", tims = 1}]',
            "step 2 (faults), field `on[0]`: Object contains unk",
        ),
        (
            'do = "faults"\non = [{name = "gateway_5xx", times = 0}]',
            "step 2 (faults), field `on[0]`: gateway_5xx: times",
        ),
        (
            'do = "faults"\non = [{name = "gateway_5xx", payment = "x"}]',
            "step 2 (faults), field `payment`: no step bef",
        ),
        (
            'do = "faults"\non = [{name = "gateway_5xx", payment = "ticket", match = "get"}]',
            "step 2 (faults), field `on[0]`: gateway_5xx: either match or payment",
        ),
        ('do = "expect_payment"\npayment = "ticket"', "step 2 (expect_payment): it expects nothing"),
        ('do = "expect_payment"\npayment = "ticket"\nstatus = "PAYED"', "step 2 (expect_payment), field `status`: Inv"),
        ('do = "expect_totals"\ncurrency = "KRW"', "step 2 (expect_totals): it expects nothing"),
        (
            'do = "expect_webhooks"\nanswered = [200, "ok"]',
            "step 2 (expect_webhooks), field `answered[1]`: Expected `in",
        ),
        ('do = "expect_webhooks"\npayment = "seat"', "step 2 (expect_webhooks), field `payment`: no step before has"),
        ('do = "clock"\nadvance = -1', "step 2 (clock), field `advance`: Expected `float` >= 0"),
    ],
)
def test_a_wrong_step_is_named_with_its_field(tmp_path: Path, step: str, wrong: str) -> None:
    assert complaint(tmp_path, f"{BEGINNING}[[step]]\n{step}\n").startswith(wrong)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("title = A story", "Invalid value (at line 1, column 9)"),
        ("\ufeff\x00", "Invalid"),
        ('title = "A story"', "Object missing required field `step`"),
        ('title = "A story"\nstep = []', "field `step`: Expected `array` of length >= 1"),
        ('title = "A story"\nstep = [3]', "step 1: Expected `object`, got `int`"),
        ('title = "A story"\ntimeout = "long"\nstep = []', "field `timeout`: Expected `float`, got `str`"),
        ('title = "A story"\n[window]\nprice = 3\n[[step]]\ndo = "faults"', "field `window`: Object contains unknown"),
    ],
)
def test_a_file_that_holds_no_story_is_told_why(tmp_path: Path, text: str, wrong: str) -> None:
    assert complaint(tmp_path, text).startswith(wrong)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "story.toml").write_bytes(b"title = '\xff'")
    with pytest.raises(ScenarioError, match="utf-8"):
        read_scenario(tmp_path / "story.toml")


def test_a_fault_may_be_for_a_payment_by_its_name(tmp_path: Path) -> None:
    scenario = read(
        tmp_path, f'{BEGINNING}[[step]]\ndo = "faults"\non = [{{name = "gateway_5xx", payment = "ticket"}}]\n'
    )
    (fault,) = scenario.step[1].on  # type: ignore[union-attr]
    assert fault.of("p-1") == Fault("gateway_5xx", match="p-1")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_the_examples_can_be_read(path: Path) -> None:
    assert read_scenario(path).title


def test_the_page_describes_every_step_and_every_field_of_it() -> None:
    page = PAGE.read_text(encoding="utf-8").partition("\n## A scripted story\n")[2].partition("\n## ")[0]
    rows = {row.split("`")[1]: row for row in page.splitlines() if row.startswith("| `")}
    elsewhere = names_of(Opening) | {"note", "timeout", "hold"}
    assert set(rows) == set(WORDS)
    undescribed = {
        word: [name for name in names_of(kind) - elsewhere if f"`{name}`" not in rows[word]]
        for word, kind in WORDS.items()
    }
    assert not any(undescribed.values()), undescribed
    assert [name for name in elsewhere | names_of(Scenario) if f"`{name}`" not in page] == []


def names_of(kind: type) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(kind)}
