"""How often in a row hooks let a turn go on."""

from __future__ import annotations

from tests.unit.daemon.fakes import agent, project

from octet.daemon.hooks.continuations import MAX_IN_A_ROW, Continuations


def test_a_turn_goes_on_a_few_times_in_a_row() -> None:
    """Then it ends; a tool call, or a turn that begins anew, resets the count."""
    turns, shop, one = Continuations(), project(), agent()
    for number in range(MAX_IN_A_ROW):
        assert turns.may_go_on(shop, one, continued=number > 0)
        turns.count(shop, one)
    assert not turns.may_go_on(shop, one, continued=True)
    turns.reset(shop, one)
    assert turns.may_go_on(shop, one, continued=True)
    for _ in range(MAX_IN_A_ROW):
        turns.count(shop, one)
    assert turns.may_go_on(shop, one, continued=False)


def test_agents_of_the_same_name_are_counted_apart() -> None:
    """Each project of a machine has its developer-1: in a project or a store of its own."""
    turns, one = Continuations(), agent()
    for _ in range(MAX_IN_A_ROW):
        turns.count(project("shop"), one)
    assert not turns.may_go_on(project("shop"), one, continued=True)
    assert turns.may_go_on(project("bank"), one, continued=True)
    assert turns.may_go_on(project("shop", url="unix:///other"), one, continued=True)
    turns.reset(project("bank"), one)
    assert not turns.may_go_on(project("shop"), one, continued=True)
