"""Whatever a client claims to have seen last: its stream resumes right there, or begins with a snapshot of now."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from proof import Cases
    from unit.http.conftest import Shopfront, Toolbox

EVENTS = [(1, "placed"), (2, "payment_observed"), (3, "completed")]

claims = (
    st.binary(max_size=40).map(lambda value: value.translate(None, b"\r\n\0"))
    | st.integers(-5, 10).map(lambda number: str(number).encode())
    | st.integers(0, 10**40).map(lambda number: str(number).encode())
    | st.text(max_size=12).map(lambda text: text.encode("utf-8", "replace").translate(None, b"\r\n\0"))
    | st.sampled_from(
        [b"", b"01", b"1 ", b" 1", b"+1", b"1.0", b"1e0", b"0x1", b"1,2", b"2, 3", "１".encode(), b"2" * 4000]
    )
)


def expected(sent: list[bytes]) -> list[tuple[int, str]]:
    """Resuming repeats the event that was seen, as a snapshot, and tells every later one."""
    seen = int(sent[0]) if len(sent) == 1 and re.fullmatch(rb"[1-9][0-9]*", sent[0]) else 0
    if 1 <= seen <= len(EVENTS):
        return [(seen, "snapshot"), *EVENTS[seen:]]
    return [(len(EVENTS), "snapshot")]


@pytest.mark.proves("No hostile request gets a 5xx or an undocumented answer")
async def test_a_stream_resumes_where_it_was_or_begins_with_a_snapshot(
    shopfront: Shopfront, tools: Toolbox, cases: Cases, *, full: bool
) -> None:
    placed: Any = await shopfront.place()
    shopfront.pays(placed)
    await shopfront.verify(placed)
    met = set()

    @settings(
        max_examples=5_000 if full else 400,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(claims=st.lists(claims, min_size=1, max_size=1) | st.lists(claims, max_size=2))
    def draw(claims: list[bytes]) -> None:
        drawn.append(claims)

    drawn: list[list[bytes]] = []
    draw()
    for sent in drawn:
        headers = [(b"authorization", f"Bearer {placed['token']}".encode()), *((b"last-event-id", one) for one in sent)]
        answer = await shopfront.http.get(f"/api/v1/orders/{placed['order']['id']}/events", headers=headers)
        cases.run += 1
        assert answer.status_code == 200, sent
        told = [(int(number), kind) for number, kind in re.findall(r"id: (\d+)\nevent: (\w+)\n", answer.text)]
        assert told == expected(sent), sent
        met.add(told[0][0])
    assert met == {1, 2, 3}
