"""R01, R02, R10, R13: every limit of the page "the first seven rules" is written here by hand."""

from typing import Any

import pytest

Stay = Any


@pytest.mark.parametrize(
    "rule, type, second_before, limit, second_after",
    [
        ("R01", "C0034", "2026-03-03 08:29:59", "2026-03-03 08:30:00", "2026-03-03 08:30:01"),
        ("R02", "C0037", "2026-03-02 16:29:59", "2026-03-02 16:30:00", "2026-03-02 16:30:01"),
    ],
)
class TestSinceAdmission:
    def test_nothing_is_missing_before_the_limit_has_passed(
        self, stay: Stay, rule: str, type: str, second_before: str, limit: str, second_after: str
    ) -> None:
        assert stay.says(rule, second_before) == []
        assert stay.says(rule, limit) == []
        assert stay.says(rule, second_after) == ["absent"]

    def test_it_asks_to_be_woken_one_second_after_the_limit_and_then_no_more(
        self, stay: Stay, rule: str, type: str, second_before: str, limit: str, second_after: str
    ) -> None:
        assert stay.wakes("2026-03-02 08:30:00")[rule] == second_after
        assert stay.wakes(limit)[rule] == second_after
        assert rule not in stay.wakes(second_after)

    @pytest.mark.parametrize("which, said", [(0, []), (1, []), (2, ["late"])])
    def test_signed_at_the_limit_is_in_time_and_a_second_later_is_late(
        self, stay: Stay, rule: str, type: str, second_before: str, limit: str, second_after: str, which: int, said: Any
    ) -> None:
        stay.document(type, signed=(second_before, limit, second_after)[which])
        assert stay.says(rule, "2026-03-05 08:30:00") == said

    def test_a_record_that_is_signed_needs_no_wake(
        self, stay: Stay, rule: str, type: str, second_before: str, limit: str, second_after: str
    ) -> None:
        stay.document(type, signed="2026-03-02 09:00:00")
        assert rule not in stay.wakes("2026-03-02 09:00:00")

    @pytest.mark.parametrize("which, said", [(0, []), (1, ["absent"]), (2, ["absent"])])
    def test_a_stay_that_ended_before_the_limit_is_not_judged(
        self, stay: Stay, rule: str, type: str, second_before: str, limit: str, second_after: str, which: int, said: Any
    ) -> None:
        stay.discharged((second_before, limit, second_after)[which])
        assert stay.says(rule, "2026-03-05 08:30:00") == said
        assert (rule in stay.wakes("2026-03-02 09:00:00")) == bool(said)

    def test_a_draft_is_not_signed(
        self, stay: Stay, rule: str, type: str, second_before: str, limit: str, second_after: str
    ) -> None:
        stay.document(type)
        assert stay.says(rule, second_after) == ["absent"]

    def test_another_type_of_document_does_not_do(
        self, stay: Stay, rule: str, type: str, second_before: str, limit: str, second_after: str
    ) -> None:
        stay.document("C0038", signed="2026-03-02 09:00:00")
        assert stay.says(rule, second_after) == ["absent"]

    @pytest.mark.parametrize("status", ["replaced", "withdrawn"])
    def test_what_was_replaced_or_withdrawn_does_not_count(
        self, stay: Stay, rule: str, type: str, second_before: str, limit: str, second_after: str, status: str
    ) -> None:
        stay.document(type, signed="2026-03-02 09:00:00", status=status)
        assert stay.says(rule, second_after) == ["absent"]

    def test_of_a_replaced_record_the_replacements_signature_counts(
        self, stay: Stay, rule: str, type: str, second_before: str, limit: str, second_after: str
    ) -> None:
        stay.document(type, signed="2026-03-02 09:00:00", status="replaced", replaced_by="D2")
        stay.document(type, signed=second_after)
        assert stay.says(rule, "2026-03-05 08:30:00") == ["late"]

    def test_one_record_in_time_is_enough(
        self, stay: Stay, rule: str, type: str, second_before: str, limit: str, second_after: str
    ) -> None:
        stay.document(type, signed=second_after)
        stay.document(type, signed=limit)
        assert stay.says(rule, "2026-03-05 08:30:00") == []

    def test_an_unknown_admission_starts_no_clock(
        self, stay: Stay, rule: str, type: str, second_before: str, limit: str, second_after: str
    ) -> None:
        stay.facts["admitted"] = None
        assert stay.says(rule, second_after) == []
        assert rule not in stay.wakes("2026-03-02 09:00:00")


def r01(stay: Stay, now: str) -> Any:
    (finding,) = [item for item in stay.assess(now).proposals if item.rule == "R01"]
    return finding


def test_absent_becomes_late_under_the_same_key_with_another_fingerprint(stay: Stay) -> None:
    absent = r01(stay, "2026-03-03 08:30:01")
    record = stay.document("C0034", signed="2026-03-03 10:00:00")
    late = r01(stay, "2026-03-03 10:00:00")
    assert (absent.key, absent.state) == ("R01", "absent")
    assert (late.key, late.state) == ("R01", "late")
    assert absent.stamp() != late.stamp()
    assert record.ref in late.reads


def test_a_finding_says_the_same_however_often_and_late_it_is_asked(stay: Stay) -> None:
    first, later = r01(stay, "2026-03-03 08:30:01"), r01(stay, "2026-04-01 00:00:00")
    assert first == later


def test_a_record_that_arrived_late_but_was_signed_in_time_closes_the_finding(stay: Stay) -> None:
    assert stay.says("R01", "2026-03-03 08:30:01") == ["absent"]
    stay.document("C0034", signed="2026-03-02 18:30:00", filed="2026-03-03 09:00:00")
    assert stay.says("R01", "2026-03-03 09:00:00") == []


def test_the_evidence_of_an_absence_is_the_clock_with_its_value(stay: Stay) -> None:
    finding = r01(stay, "2026-03-03 08:30:01")
    assert [(item.path, item.value) for item in finding.evidence] == [("admitted", "2026-03-02T08:30:00+08:00")]
    assert finding.reads == ["stay.admitted@2026-03-02T08:30:00+08:00"]
    assert finding.due.isoformat() == "2026-03-03T00:30:00+00:00"
    assert (finding.severity, finding.points) == ("critical", 10)


def test_the_evidence_of_lateness_adds_the_signature_and_words_of_the_document(stay: Stay) -> None:
    record = stay.document("C0034", signed="2026-03-03 10:00:00", text="主诉：胸痛3小时。")
    clock, signed, words = r01(stay, "2026-03-03 10:00:00").evidence
    assert clock.path == "admitted"
    assert (signed.path, signed.value) == ("documents/D1/signed", "2026-03-03T10:00:00+08:00")
    assert (words.document, words.version, words.section) == (record.id, record.version, 0)
    assert words.quote == record.sections[0].text[words.begin : words.end] == "主诉：胸痛3小时。"


def test_a_late_record_without_text_still_shows_its_signature(stay: Stay) -> None:
    stay.document("C0034", signed="2026-03-03 10:00:00", sections=[])
    assert [item.path for item in r01(stay, "2026-03-03 10:00:00").evidence] == ["admitted", "documents/D1/signed"]


def test_messages_carry_the_times_of_the_ward_in_both_languages(stay: Stay) -> None:
    message = r01(stay, "2026-03-03 08:30:01").message
    assert message.zh == "入院后24小时内无已签名的入院记录（入院2026-03-02 08:30，时限2026-03-03 08:30）。"
    assert message.en == (
        "No signed admission record within 24 h of admission (admitted 2026-03-02 08:30, due by 2026-03-03 08:30)."
    )
    stay.document("C0034", signed="2026-03-03 08:30:01", signed_inferred=True)
    late = r01(stay, "2026-03-03 09:00:00").message
    assert "签名2026-03-03 08:30:01（签名未带时间，按消息时间）" in late.zh
    assert "signed 2026-03-03 08:30:01 (the time of its message" in late.en


def test_fractions_of_a_second_do_not_count(stay: Stay) -> None:
    stay.document("C0034", signed="2026-03-03 08:30:00.900000")
    assert stay.says("R01", "2026-03-04 08:30:00") == []
    assert stay.says("R02", "2026-03-02 16:30:00.900000") == []
    assert stay.wakes("2026-03-02 16:30:00.900000")["R02"] == "2026-03-02 16:30:01"


class TestOperation:
    """Ended on 3 March at 12:00: due on 4 March at 12:00."""

    @pytest.fixture(autouse=True)
    def operated(self, stay: Stay) -> None:
        stay.operation("2026-03-03 10:30:00", "2026-03-03 12:00:00")

    def test_its_record_is_missed_one_second_after_24_hours(self, stay: Stay) -> None:
        assert stay.says("R10", "2026-03-04 11:59:59") == []
        assert stay.says("R10", "2026-03-04 12:00:00") == []
        assert stay.says("R10", "2026-03-04 12:00:01") == ["absent"]
        assert stay.wakes("2026-03-03 12:00:00")["R10:OP1"] == "2026-03-04 12:00:01"
        assert "R10:OP1" not in stay.wakes("2026-03-04 12:00:01")

    @pytest.mark.parametrize(
        "signed, said",
        [
            ("2026-03-04 11:59:59", []),
            ("2026-03-04 12:00:00", []),
            ("2026-03-04 12:00:01", ["late"]),
        ],
    )
    def test_signed_at_the_limit_is_in_time(self, stay: Stay, signed: str, said: list[str]) -> None:
        stay.document("C0009", signed=signed)
        assert stay.says("R10", "2026-03-06 12:00:00") == said

    def test_a_record_signed_during_the_operation_counts(self, stay: Stay) -> None:
        stay.document("C0009", signed="2026-03-03 11:00:00")
        assert stay.says("R10", "2026-03-06 12:00:00") == []

    @pytest.mark.parametrize(("signed", "said"), [("2026-03-03 10:30:00", ["absent"]), ("2026-03-03 10:30:01", [])])
    def test_a_record_must_be_signed_after_the_operation_started(
        self, stay: Stay, signed: str, said: list[str]
    ) -> None:
        stay.document("C0009", signed=signed)
        assert stay.says("R10", "2026-03-06 12:00:00") == said

    def test_a_record_for_one_operation_does_not_count_for_another(self, stay: Stay) -> None:
        stay.operation("2026-03-05 09:00:00", "2026-03-05 10:00:00")
        stay.document("C0009", signed="2026-03-05 11:00:00")
        found = [item for item in stay.assess("2026-03-08 12:00:00").proposals if item.rule == "R10"]
        assert [(item.key, item.subject, item.state) for item in found] == [("R10:OP1", "OP1", "absent")]

    def test_two_operations_and_two_records_are_complete(self, stay: Stay) -> None:
        stay.operation("2026-03-04 09:00:00", "2026-03-04 10:00:00")
        stay.document("C0009", signed="2026-03-03 13:00:00")
        stay.document("C0009", signed="2026-03-04 11:00:00")
        assert stay.says("R10", "2026-03-08 12:00:00") == []

    def test_a_record_belongs_to_the_operation_that_last_started_even_if_that_has_not_ended(self, stay: Stay) -> None:
        stay.operation("2026-03-04 09:00:00", None)
        stay.document("C0009", signed="2026-03-04 09:30:00")
        found = [item for item in stay.assess("2026-03-08 12:00:00").proposals if item.rule == "R10"]
        assert [(item.key, item.state) for item in found] == [("R10:OP1", "absent")]

    def test_operations_of_one_sitting_share_a_record(self, stay: Stay) -> None:
        stay.operation("2026-03-03 10:30:00", "2026-03-03 12:30:00")
        stay.document("C0009", signed="2026-03-03 14:00:00")
        assert stay.says("R10", "2026-03-08 12:00:00") == []

    def test_an_operation_that_was_deleted_owes_nothing(self, stay: Stay) -> None:
        stay.procedures.clear()
        assert stay.says("R10", "2026-03-08 12:00:00") == []

    def test_only_operations_that_ended_are_judged(self, stay: Stay) -> None:
        stay.procedures.clear()
        stay.operation("2026-03-03 10:30:00", None)
        stay.operation("2026-03-03 10:30:00", "2026-03-03 12:00:00", operation=False)
        assert stay.says("R10", "2026-03-08 12:00:00") == []
        assert not any(name.startswith("R10") for name in stay.wakes("2026-03-03 12:00:00"))

    def test_a_discharge_does_not_excuse_it(self, stay: Stay) -> None:
        stay.discharged("2026-03-03 18:00:00")
        assert stay.says("R10", "2026-03-04 12:00:01") == ["absent"]

    def test_its_evidence_is_the_end_of_the_operation(self, stay: Stay) -> None:
        (finding,) = [item for item in stay.assess("2026-03-04 12:00:01").proposals if item.rule == "R10"]
        (clock,) = finding.evidence
        assert (clock.path, clock.value) == ("procedures/OP1/end", "2026-03-03T12:00:00+08:00")
        assert finding.reads == [stay.procedures[0].ref]
        assert finding.due.isoformat() == "2026-03-04T04:00:00+00:00"
        assert finding.message.zh.startswith("手术“腹腔镜阑尾切除术”结束后24小时内无已签名的手术记录")
        assert "the end of the operation “腹腔镜阑尾切除术” (ended" in finding.message.en

    def test_an_operation_without_a_name_is_called_the_operation(self, stay: Stay) -> None:
        stay.procedures.clear()
        stay.operation("2026-03-03 10:30:00", "2026-03-03 12:00:00", code={})
        (finding,) = [item for item in stay.assess("2026-03-04 12:00:01").proposals if item.rule == "R10"]
        assert finding.message.zh.startswith("手术结束后24小时内")


class TestDischarge:
    """Discharged on 7 March at 08:30: due on 8 March at 08:30."""

    @pytest.fixture(autouse=True)
    def home(self, stay: Stay) -> None:
        stay.discharged("2026-03-07 08:30:00")

    def test_the_record_is_missed_one_second_after_24_hours(self, stay: Stay) -> None:
        assert stay.says("R13", "2026-03-08 08:29:59") == []
        assert stay.says("R13", "2026-03-08 08:30:00") == []
        assert stay.says("R13", "2026-03-08 08:30:01") == ["absent"]
        assert stay.wakes("2026-03-07 08:30:00")["R13"] == "2026-03-08 08:30:01"
        assert "R13" not in stay.wakes("2026-03-08 08:30:01")

    @pytest.mark.parametrize(
        "signed, said",
        [
            ("2026-03-08 08:29:59", []),
            ("2026-03-08 08:30:00", []),
            ("2026-03-08 08:30:01", ["late"]),
        ],
    )
    def test_signed_at_the_limit_is_in_time(self, stay: Stay, signed: str, said: list[str]) -> None:
        stay.document("C0049", signed=signed)
        assert stay.says("R13", "2026-03-10 08:30:00") == said

    def test_who_died_needs_a_death_record(self, stay: Stay) -> None:
        stay.facts["died"] = True
        stay.document("C0049", signed="2026-03-07 09:00:00")
        (finding,) = [item for item in stay.assess("2026-03-10 08:30:00").proposals if item.rule == "R13"]
        assert finding.state == "absent"
        assert "死亡记录" in finding.message.zh
        assert "death record" in finding.message.en
        stay.document("C0050", signed="2026-03-07 09:00:00")
        assert stay.says("R13", "2026-03-10 08:30:00") == []

    def test_who_lives_needs_no_death_record_and_it_does_not_do(self, stay: Stay) -> None:
        stay.document("C0050", signed="2026-03-07 09:00:00")
        assert stay.says("R13", "2026-03-10 08:30:00") == ["absent"]

    def test_its_evidence_is_the_discharge(self, stay: Stay) -> None:
        (finding,) = [item for item in stay.assess("2026-03-10 08:30:00").proposals if item.rule == "R13"]
        (clock,) = finding.evidence
        assert (finding.key, clock.path, clock.value) == ("R13", "discharged", "2026-03-07T08:30:00+08:00")
        assert finding.reads == ["stay.discharged@2026-03-07T08:30:00+08:00", "stay.died@False"]
        assert all(stay.chart(finding.due).holds(ref) for ref in finding.reads)

    def test_a_cancelled_discharge_owes_nothing_until_the_next_one(self, stay: Stay) -> None:
        assert stay.says("R13", "2026-03-08 08:30:01") == ["absent"]
        stay.facts |= {"status": "admitted", "discharged": None}
        assert stay.says("R13", "2026-03-08 10:30:00") == []
        assert "R13" not in stay.wakes("2026-03-08 10:30:00")
        stay.discharged("2026-03-09 12:30:00")
        assert stay.says("R13", "2026-03-10 12:30:00") == []
        assert stay.says("R13", "2026-03-10 12:30:01") == ["absent"]

    def test_a_planned_discharge_of_a_patient_who_is_still_there_is_none(self, stay: Stay) -> None:
        stay.facts["status"] = "admitted"
        assert stay.says("R13", "2026-03-10 08:30:00") == []

    @pytest.mark.parametrize("died", [False, True])
    @pytest.mark.parametrize(
        "discharged, said",
        [
            ("2026-03-03 08:29:59", []),
            ("2026-03-03 08:30:00", ["absent"]),
            ("2026-03-03 08:30:01", ["absent"]),
        ],
    )
    def test_the_record_of_a_short_stay_will_do_for_a_stay_under_24_hours(
        self, stay: Stay, died: bool, discharged: str, said: list[str]
    ) -> None:
        stay.discharged(discharged, died=died)
        stay.document("C0035", signed="2026-03-03 09:00:00")
        assert stay.says("R13", "2026-03-10 08:30:00") == said

    def test_the_long_record_will_do_for_a_short_stay(self, stay: Stay) -> None:
        stay.discharged("2026-03-03 04:30:00")
        assert stay.says("R13", "2026-03-10 08:30:00") == ["absent"]
        stay.document("C0049", signed="2026-03-03 09:00:00")
        assert stay.says("R13", "2026-03-10 08:30:00") == []
