"""Which payments were seen, in little memory however many there are."""

from __future__ import annotations

from array import array


class Seen:
    """The latest million payments, and as many before them at the most, in sixteen bytes of each.

    Kept are hashes of 64 bits, in a table that is never more than half full; 0 is an empty place.
    """

    _PLACES_MOST = 2**21

    def __init__(self) -> None:
        self._places = _empty(2**10)
        self._count = 0
        self._before = _empty(1)

    def add(self, payment_id: str) -> None:
        """It was seen."""
        if self._put(hash(payment_id) or 1) and self._count * 2 > len(self._places):
            self._make_room()

    def __contains__(self, payment_id: str) -> bool:
        mark = hash(payment_id) or 1
        return any(places[_place_of(mark, places)] == mark for places in (self._places, self._before))

    def _put(self, mark: int) -> bool:
        place = _place_of(mark, self._places)
        is_new = not self._places[place]
        self._places[place] = mark
        self._count += is_new
        return is_new

    def _make_room(self) -> None:
        full, self._count = self._places, 0
        if len(full) == self._PLACES_MOST:
            self._places, self._before = _empty(2**10), full
            return
        self._places = _empty(2 * len(full))
        for mark in full:
            if mark:
                self._put(mark)


def _empty(places: int) -> array[int]:
    return array("q", bytes(8 * places))


def _place_of(mark: int, places: array[int]) -> int:
    """Where ``mark`` stands, or would."""
    most = len(places) - 1
    place = mark & most
    while places[place] not in (0, mark):
        place = place + 1 & most
    return place
