from __future__ import annotations

import pytest

from fake_portone.faults import CATALOGUE, Fault, Faults


def drawn(faults: Faults, name: str, occasions: int = 200) -> list[bool]:
    return [faults.fires(name) is not None for _ in range(occasions)]


def on(*faults: Fault, seed: int = 0) -> Faults:
    switched = Faults(seed)
    switched.put(faults)
    return switched


def test_nothing_goes_wrong_unless_it_is_switched_on() -> None:
    assert [name for name in CATALOGUE if Faults().fires(name)] == []


def test_the_catalogue_holds_what_the_design_names() -> None:
    assert set(CATALOGUE) >= {
        "webhook_duplicated",
        "webhook_dropped",
        "webhook_delayed",
        "webhook_reordered",
        "webhook_before_answer",
        "gateway_slow",
        "gateway_5xx",
        "gateway_html",
        "gateway_truncated",
        "cancel_answer_lost",
        "cancel_failed",
        "cancel_requested",
        "cancel_requested_then_failed",
        "amount_tampered",
        "currency_tampered",
        "store_tampered",
        "channel_tampered",
        "failed_then_paid",
        "unknown_webhook_type",
        "unknown_status",
    }


def test_one_seed_gives_one_run_and_another_another() -> None:
    fault = Fault("webhook_dropped", probability=0.5)
    first = drawn(on(fault, seed=1), "webhook_dropped")
    assert first == drawn(on(fault, seed=1), "webhook_dropped")
    assert first != drawn(on(fault, seed=2), "webhook_dropped")
    assert 60 < sum(first) < 140


def test_a_fault_draws_the_same_whatever_others_draw() -> None:
    dropped, delayed = Fault("webhook_dropped", probability=0.5), Fault("webhook_delayed", probability=0.5)
    alone, together = on(dropped, seed=1), on(dropped, delayed, seed=1)
    drawn(together, "webhook_delayed")
    assert drawn(alone, "webhook_dropped") == drawn(together, "webhook_dropped")


@pytest.mark.parametrize(("probability", "fires"), [(0.0, 0), (1.0, 200)])
def test_never_and_always(probability: float, fires: int) -> None:
    assert sum(drawn(on(Fault("gateway_5xx", probability=probability)), "gateway_5xx")) == fires


def test_times_bounds_how_often_it_happens() -> None:
    faults = on(Fault("gateway_5xx", times=2))
    assert drawn(faults, "gateway_5xx", 4) == [True, True, False, False]
    assert [fired for _, fired in faults.on()] == [2]


def test_match_leaves_every_other_occasion_alone() -> None:
    faults = on(Fault("gateway_5xx", times=1, match="cancel"))
    assert faults.fires("gateway_5xx", "get", "p") is None
    assert faults.fires("gateway_5xx", "cancel", "p") is not None


def test_seconds_are_the_ones_given_or_the_catalogues() -> None:
    given, usual = on(Fault("gateway_slow", seconds=0.5)), on(Fault("gateway_slow"))
    fired = given.fires("gateway_slow"), usual.fires("gateway_slow")
    assert [fault and fault.seconds for fault in fired] == [0.5, 5.0]


def test_putting_faults_switches_the_others_off() -> None:
    faults = on(Fault("gateway_5xx"))
    faults.put([Fault("gateway_html")])
    assert faults.fires("gateway_5xx") is None
    assert faults.fires("gateway_html") is not None


@pytest.mark.parametrize(
    ("fault", "names"),
    [
        (Fault("gateway_on_fire"), "gateway_on_fire"),
        (Fault("gateway_5xx", probability=1.5), "probability"),
        (Fault("gateway_5xx", times=0), "times"),
        (Fault("gateway_5xx", seconds=1), "takes no seconds"),
        (Fault("gateway_slow", seconds=-1), "seconds"),
    ],
)
def test_what_makes_no_sense_is_named_and_nothing_changes(fault: Fault, names: str) -> None:
    faults = on(Fault("gateway_html"))
    with pytest.raises(ValueError, match=names):
        faults.put([fault])
    assert faults.fires("gateway_html") is not None
