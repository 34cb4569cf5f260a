import pytest
from pydantic import ValidationError

from hisbus_schemas import Coverage, Need

CONSENT, PAPER = "document:C0026", Need(any=("document:C0026", "document:C0027"), after="operation")


def test_without_a_word_everything_is_connected() -> None:
    assert Coverage().version == 0
    assert Coverage().brings(CONSENT) and Coverage().brings("class", "骨科")


def test_a_department_goes_by_its_own_word_and_else_by_the_sites() -> None:
    said = Coverage(version=3, others=False, site={CONSENT: True}, departments={"骨科": {CONSENT: False}})
    assert said.brings(CONSENT) and said.brings(CONSENT, "内科")
    assert not said.brings(CONSENT, "骨科")
    assert not said.brings("document:C0027", "骨科")


@pytest.mark.parametrize("name", ["order", "order:*"])
def test_a_bare_name_is_any_of_its_kind(name: str) -> None:
    assert not Coverage(site={"order:*": False}).brings(name)
    assert Coverage(site={name: False}).brings("order:medication")
    assert Need(item="order:medication").hidden_by(["order", "charge:*"]) == {"order"}
    assert Need(item=name).hidden_by(["order:medication"]) == {"order:medication"}


def test_a_need_lacks_all_that_would_do_or_nothing() -> None:
    assert PAPER.lacking(Coverage(site={CONSENT: False}), "") == ()
    assert PAPER.lacking(Coverage(site={CONSENT: True}, others=False), "") == ()
    assert PAPER.lacking(Coverage(others=False), "") == PAPER.any


def test_a_word_about_nothing_is_refused() -> None:
    with pytest.raises(ValidationError):
        Coverage(site={"Document C0026": True})
