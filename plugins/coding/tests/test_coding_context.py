"""What is said of a diagnosis: there, not there, perhaps, once, in the family; in Chinese and English."""

import pytest

from hisbus.terms import Terms
from hisbus.testing import NOW, make_document
from hisbus_coding.context import cues, status_of
from hisbus_coding.mentions import in_document


@pytest.mark.parametrize(
    "text, name, status",
    [
        ("患者有肺炎", "肺炎", "asserted"),
        ("否认肺炎", "肺炎", "negated"),
        ("否认肝炎、肺结核及肺炎病史", "肺炎", "negated"),
        ("否认肝炎，肺炎病史", "肺炎", "negated"),
        ("否认肝炎，3年前因肺炎住院", "肺炎", "asserted"),
        ("无发热，胸片示肺炎", "肺炎", "asserted"),
        ("无明显诱因出现肺炎", "肺炎", "asserted"),
        ("肺炎已排除", "肺炎", "negated"),
        ("不能排除肺炎", "肺炎", "uncertain"),
        ("不除外肺炎", "肺炎", "uncertain"),
        ("考虑肺炎", "肺炎", "uncertain"),
        ("肺炎待排", "肺炎", "uncertain"),
        ("肺炎？", "肺炎", "uncertain"),
        ("肺炎可能性大", "肺炎", "uncertain"),
        ("父亲患肺炎", "肺炎", "family"),
        ("母亲否认肺炎", "肺炎", "family"),
        ("既往肺炎", "肺炎", "history"),
        ("肺炎病史5年", "肺炎", "history"),
        ("警惕肺炎", "肺炎", "hypothetical"),
        ("否认哮喘，但有肺炎", "肺炎", "asserted"),
        ("the patient has pneumonia", "pneumonia", "asserted"),
        ("no fever, cough, or pneumonia", "pneumonia", "negated"),
        ("denies asthma but has pneumonia", "pneumonia", "asserted"),
        ("pneumonia was ruled out", "pneumonia", "negated"),
        ("rule out pneumonia", "pneumonia", "uncertain"),
        ("cannot exclude pneumonia", "pneumonia", "uncertain"),
        ("probable pneumonia", "pneumonia", "uncertain"),
        ("pneumonia vs bronchitis", "pneumonia", "uncertain"),
        ("mother had pneumonia", "pneumonia", "family"),
        ("history of asthma and pneumonia", "pneumonia", "history"),
        ("a 60 year old man with pneumonia", "pneumonia", "asserted"),
        ("a 60-year-old man with pneumonia", "pneumonia", "asserted"),
        ("return for pneumonia", "pneumonia", "hypothetical"),
        ("status post pneumonia", "pneumonia", "history"),
        ("notable for pneumonia", "pneumonia", "asserted"),
        ("肺炎支原体抗体阴性，发热", "肺炎", "negated"),
        ("结核菌素试验阳性", "结核菌素", "hypothetical"),
        ("糖尿病饮食", "糖尿病", "hypothetical"),
        ("讲解肺炎的预防", "肺炎", "hypothetical"),
        ("□肺炎 ☑哮喘", "肺炎", "negated"),
        ("□肺炎 ☑哮喘", "哮喘", "asserted"),
        ("舅舅患肺炎", "肺炎", "family"),
        ("发热查因：肺炎", "肺炎", "uncertain"),
        ("Lyme disease titer: elevated", "Lyme disease", "hypothetical"),
        ("no sign of pneumonia", "pneumonia", "negated"),
        ("we discussed that pneumonia may follow", "pneumonia", "hypothetical"),
        ("her twin sister has pneumonia", "pneumonia", "family"),
    ],
)
def test_a_cue_says_what_is_said_of_a_diagnosis(text: str, name: str, status: str) -> None:
    begin = text.index(name)
    assert status_of(cues(text, 0, len(text)), begin, begin + len(name))[0] == status


@pytest.mark.parametrize(
    "text, names",
    [
        ("出院诊断：1.肺炎 2.2型糖尿病 3.低钾血症", ["肺炎", "2型糖尿病", "低钾血症"]),
        ("出院诊断：肺炎；哮喘。\n诊疗经过：平稳。", ["肺炎", "哮喘"]),
        ("出院诊断：乙肝，肝硬化", ["乙肝", "肝硬化"]),
        ("出院诊断：急性心肌梗死，Killip II级", ["急性心肌梗死"]),
        ("出院诊断：1.高血压病3级 极高危 2.肺炎 哮喘 心功能III级", ["高血压病3级", "肺炎", "哮喘"]),
        ("出院诊断：肺炎，哮喘，某种罕见怪病", ["肺炎", "哮喘", "某种罕见怪病"]),
        ("出院诊断：肺炎 右下肺", ["肺炎 右下肺"]),
        ("出院诊断：\n①肺炎\n②哮喘", ["肺炎", "哮喘"]),
        ("诊断：肺炎待排", ["肺炎"]),
    ],
)
def test_a_list_is_cut_into_its_items(text: str, names: list[str], made_up: Terms) -> None:
    (release,) = made_up.releases()
    document = make_document("C0049", text, signed=NOW)
    found = [mention for mention in in_document(document, made_up, release) if mention.listed]
    assert [mention.text for mention in found] == names


def test_an_english_list_keeps_decimals_stages_and_commas_of_a_name(icd: Terms) -> None:
    (release,) = icd.releases()
    text = "Discharge diagnoses: 1. Chronic kidney disease, stage 3. Gout 2. Pneumonia, unspecified organism"
    found = [mention.text for mention in in_document(make_document("C0049", text, signed=NOW), icd, release)]
    assert found == ["Chronic kidney disease, stage 3", "Gout", "Pneumonia, unspecified organism"]


def test_a_section_may_be_named_by_its_title_or_its_code(made_up: Terms) -> None:
    (release,) = made_up.releases()
    sections = [{"name": "10157-6", "text": "高血压病"}, {"name": "x", "title": "出院诊断", "text": "肺炎"}]
    document = make_document("C0049", sections=sections, signed=NOW)
    found = [(mention.text, mention.status) for mention in in_document(document, made_up, release)]
    assert found == [("高血压病", "family"), ("肺炎", "asserted")]


def test_a_mention_keeps_its_place_where_width_and_case_differ(made_up: Terms) -> None:
    (release,) = made_up.releases()
    text = "诊疗经过：诊断为２型糖尿病，㎎单位。"
    (mention,) = in_document(make_document("C0049", text, signed=NOW), made_up, release)
    assert text[mention.begin : mention.end] == mention.text == "２型糖尿病"


def test_an_abbreviation_counts_only_in_capitals(icd: Terms) -> None:
    (release,) = icd.releases()

    def named(text: str) -> list[str]:
        document = make_document("C0049", f"Hospital course: {text}", signed=NOW)
        return [mention.text for mention in in_document(document, icd, release)]

    assert named("Treated for CAP.") == ["CAP"]
    assert named("Wore a cap.") == []


def listed(text: str, terms: Terms) -> list[tuple[str, str]]:
    (release,) = terms.releases()
    document = make_document("C0034", text, signed=NOW)
    return [(one.text, one.status) for one in in_document(document, terms, release) if one.listed]


ASSESSED = """ASSESSMENT AND PLAN
The patient is a 58-year-old man who presents with gout.

1. Asthma, no pneumonia.
- Medical Reasoning: He has gout as well. - Medical Treatment: Prevent pneumonia.
- Patient Education and Counseling: Pain and gout were discussed.

2. Pain.
3. Knee pain, likely gout.
Patient Agreements: The patient understands hypertension.
"""


def test_only_short_lines_under_a_list_are_its_items_and_no_label_is(icd: Terms) -> None:
    assert listed(ASSESSED, icd) == [
        ("Asthma", "asserted"),
        ("pneumonia", "negated"),
        ("Knee pain", "asserted"),
        ("gout", "uncertain"),
    ]


def test_what_a_plan_turns_to_is_as_good_as_an_item_of_a_list(icd: Terms) -> None:
    text = "PLAN\nRegarding her diabetes, she goes on with metformin. Call us in case of pneumonia."
    assert listed(text, icd) == [("diabetes", "asserted")]


def test_the_impression_of_an_x_ray_is_no_list_of_diagnoses(icd: Terms) -> None:
    assert listed("RESULTS\nX-ray of the chest. Impression: Pneumonia.", icd) == []
    assert listed("RESULTS\nX-ray of the chest: normal.\n\nIMPRESSION\nPneumonia.", icd) == [("Pneumonia", "asserted")]


def test_the_label_of_a_line_of_a_template_names_no_diagnosis(made_up: Terms) -> None:
    (release,) = made_up.releases()
    text = "护理评估：\n腹痛：无\n咳嗽：无\n肺炎患者，卧床。"
    found = [one.text for one in in_document(make_document("C0034", text, signed=NOW), made_up, release)]
    assert found == ["肺炎"]
