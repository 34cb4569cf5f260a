"""A stay that was read in later is of backfill until something of it comes as it happens."""

from typing import Any


async def test_a_stay_is_of_backfill_until_something_of_it_comes_as_it_happens(ward: Any) -> None:
    await ward.deliver(ward.message(ward.fact("encounter.admitted", 1, backfill=True)))
    chart = await ward.chart()
    assert (chart.backfill, chart.live_from) == (True, None)
    await ward.deliver(ward.message(ward.fact("encounter.updated", 5)))
    await ward.deliver(ward.message(ward.fact("encounter.updated", 3)))
    chart = await ward.chart()
    assert (chart.backfill, chart.live_from) == (False, ward.fact("", 5)["time"].at), "the first to come, not in time"


async def test_what_is_charted_says_that_nobody_is_called_and_with_what_the_stay_goes_on(ward: Any) -> None:
    async def said(*facts: Any) -> list[str]:
        return [one.backfill for one in await ward.deliver(ward.message(*facts))]

    assert await said(ward.fact("encounter.admitted", 1, backfill=True)) == ["all"]
    facts = [ward.fact(kind, 2, backfill=True) for kind in ("order.placed", "vitals.recorded")]
    assert await said(*facts) == ["all", "all"]
    assert await said(ward.fact("encounter.updated", 5)) == ["ends"]
    assert await said(ward.fact("encounter.updated", 6)) == [""]
    assert await said(ward.fact("encounter.updated", 3, backfill=True)) == [""], "it goes on all the same"


async def test_a_stay_that_came_as_it_happened_bears_no_mark(ward: Any) -> None:
    await ward.deliver(ward.message(ward.fact("encounter.admitted", 1)))
    chart = await ward.chart()
    assert (chart.backfill, chart.live_from) == (False, None)


async def test_a_newer_mapping_may_take_the_mark_away(ward: Any) -> None:
    await ward.deliver(ward.message(ward.fact("encounter.admitted", 1, backfill=True), number=1))
    (output,) = await ward.deliver(ward.message(ward.fact("encounter.admitted", 1), number=1, revision=2))
    assert output.backfill == "ends"
    chart = await ward.chart()
    assert (chart.backfill, chart.live_from) == (False, None)
