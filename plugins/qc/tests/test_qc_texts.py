"""What the rules say, as a reader goes through it, is what they say; and it is said as a physician would."""

from pathlib import Path

from hisbus_qc.rendered import rendered
from hisbus_qc.rulebook import RULES
from hisbus_qc.text.agent import text_shelf

KEPT = Path(__file__).parents[1] / "texts.md"
EVERY = [*RULES.values(), *text_shelf().rules.values()]
WORDS = [
    (f"{rule.id} {name}", text.zh)
    for whole in EVERY
    for rule in (whole, *whole.parts)
    for name, text in [("title", rule.title), *rule.titles.items(), *rule.texts.items()]
]


def test_the_committed_texts_are_those_of_the_rules() -> None:
    said = "write it again: python -m hisbus_qc.rendered plugins/qc/texts.md"
    assert KEPT.read_text(encoding="utf-8") == rendered(), said


def test_every_rule_and_every_sentence_stands_in_it() -> None:
    there = KEPT.read_text(encoding="utf-8")
    assert [rule.id for rule in EVERY if f"## {rule.id}" not in there or rule.title.zh not in there] == []
    fixed = [(where, words) for where, words in WORDS if "{" not in words and words not in there]
    assert fixed == []


def test_no_text_says_what_no_physician_would() -> None:
    banned = ("不可能", "时限-", "1个1天", "Medicare", "MCE", "未达标")
    assert [where for where, words in WORDS if any(word in words for word in banned)] == []
    there = KEPT.read_text(encoding="utf-8")
    assert [word for word in banned if word in there] == []


def test_a_chinese_source_names_its_article_or_the_hospitals_own_rule() -> None:
    rules = [part for rule in EVERY if "cn" in rule.packs for part in (rule, *rule.parts)]
    assert [part.id for part in rules if "病历书写基本规范" in part.source and "第" not in part.source] == []
