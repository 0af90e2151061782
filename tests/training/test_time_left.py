"""Estimates by hand, with a clock that the test sets."""

from avloc.training.time_left import TimeLeft
from avloc.types import Phase


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def first(*_): ...


def second(*_): ...


def phases():
    yield Phase("a", "train", 3, "adam", first)
    yield Phase("b", "train", 2, "adam", second, refresh=lambda *_: None)
    yield Phase("c", "scenes", 1, "adam", first, refresh=lambda *_: None)


def spend(clock, seconds, tell, *arguments):
    clock.now += seconds
    tell(*arguments)


def test_by_hand():
    clock, (a, b, c) = Clock(), phases()
    time_left = TimeLeft([a, b, c], {"train": 4, "scenes": 10}.get, clock)
    assert time_left.left(0, 0) is None
    time_left.begin()
    spend(clock, 60, time_left.stepped, a)  # compiles
    assert time_left.left(0, 1) is None
    spend(clock, 1, time_left.stepped, a)
    spend(clock, 3, time_left.stepped, a)
    # 2 s a step of any kind: 9 of a, 8 of b, 10 of c.
    assert time_left.left(0, 3) == (18, 18 + 16 + 20)
    assert time_left.left(0, 12) == (0, 36)

    clock.now += 100  # not in an epoch: not counted
    time_left.begin()
    spend(clock, 7, time_left.refreshed)
    # c refreshes too.
    assert time_left.left(1, 0) == (16, 16 + 20 + 7)
    spend(clock, 30, time_left.stepped, b)
    spend(clock, 5, time_left.stepped, b)
    # 5 s a step of b; c is of a's kind.
    assert time_left.left(1, 2) == (30, 30 + 20 + 7)
    assert time_left.left(2, 10) == (0, 0)


def test_a_split_of_phases_gone_by_need_not_be_there():
    steps = {"scenes": 10}
    clock, (a, b, c) = Clock(), phases()
    time_left = TimeLeft([a, b, c], lambda split: steps[split], clock)
    spend(clock, 1, time_left.stepped, c)
    spend(clock, 1, time_left.stepped, c)
    assert time_left.left(2, 2) == (8, 8)
