"""What a model quotes counts where it stands in the record, exactly so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hisbus import Quote, grounded
from hisbus.testing import make_chart, make_document
from hisbus_schemas import Chart, ChartDocument, Section

TEXT = "患者诉胸痛2小时，无发热。\n血压<140/90 mmHg，\u200b心率 80 次/分。<b>好转</b>"


def chart() -> Chart:
    two = [Section(name="one", text="无特殊。"), Section(name="two", text=TEXT)]
    return make_chart(
        documents=[
            make_document("C0037", "", id="note", at="2026-03-02T08:00+08:00").model_copy(update={"sections": two}),
            make_document("C0034", "入院记录，胸痛2小时。", id="admission", at="2026-03-01T08:00+08:00"),
            make_document("C0038", "胸痛3小时。", id="gone", at="2026-03-01T07:00+08:00", status="withdrawn"),
        ]
    )


def documents() -> dict[str, ChartDocument]:
    return {document.id: document for document in chart().documents}


@pytest.mark.parametrize(
    ("label", "quote", "found"),
    [
        ("D2", "胸痛2小时", ("note", 1, "胸痛2小时")),
        ("D1", "胸痛2小时", ("admission", 0, "胸痛2小时")),
        (" d2 ", "胸痛2小时", ("note", 1, "胸痛2小时")),
        ("D2", "140/90 mmHg，心率 80", ("note", 1, "140/90 mmHg，\u200b心率 80")),
        ("D2", "140/90 mmHg，心率\n80", ("note", 1, "140/90 mmHg，\u200b心率 80")),
        ("D2", "‹b>好转‹/b>", ("note", 1, "<b>好转</b>")),
        ("D2", "<b>好转</b>", ("note", 1, "<b>好转</b>")),
        ("D2", "血压<", ("note", 1, "血压<")),
        ("D2", "有发热", None),
        ("D2", "胸痛 2小时", None),
        ("D2", "入院记录", None),
        ("D3", "胸痛3小时", None),
        ("", "胸痛2小时", None),
        ("D2", "", None),
        ("D2", " \n\u200b", None),
    ],
)
def test_a_quote_counts_where_it_stands(label: str, quote: str, found: tuple[str, int, str] | None) -> None:
    evidence, dropped = grounded(chart(), [Quote(document=label, text=quote)])
    assert dropped == (found is None)
    if found is not None:
        (span,) = evidence
        assert (span.document, span.section, span.quote) == found
        source = documents()[found[0]]
        assert span.section is not None and span.version == source.version
        assert source.sections[span.section].text[span.begin : span.end] == span.quote


def test_what_is_dropped_is_counted_and_what_is_said_twice_is_evidence_once() -> None:
    said = [("D2", "胸痛2小时"), ("D2", "从未写过"), ("D2", "胸痛2小时"), ("D9", "胸痛2小时")]
    evidence, dropped = grounded(chart(), [Quote(document=label, text=text) for label, text in said])
    assert ([span.quote for span in evidence], dropped) == (["胸痛2小时"], 2)


@given(st.text(max_size=60), st.text(max_size=10), st.text(max_size=60))
def test_any_words_of_any_text_are_found_and_shown_as_the_source_has_them(before: str, words: str, after: str) -> None:
    text = before + words + after
    one = make_chart(documents=[make_document("C0037", text or "x", id="d")])
    evidence, dropped = grounded(one, [Quote(document="D1", text=words)])
    assert len(evidence) + dropped == 1
    for span in evidence:
        assert text[span.begin : span.end] == span.quote
    if words.strip() and words.isalnum():
        assert not dropped
