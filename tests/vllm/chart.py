"""Charts that nobody lived, in Chinese, of about a wanted length, each another."""

from itertools import islice
from random import Random

from hisbus.testing import make_chart, make_document, make_patient, make_vital
from hisbus_schemas import Chart

_SAID = (
    "患者今日查房诉胸痛较前缓解",
    "无发热、咳嗽、腹痛",
    "体格检查：腹软，无压痛",
    "生命体征平稳，继续观察",
    "切口敷料干燥，无渗出",
    "血压 128/76 mmHg，心率 82 次/分",
    "既往高血压病史十年，糖尿病病史三年",
    "复查心肌酶较前下降",
    "继续抗血小板、调脂治疗",
    "向患者家属交代病情，表示理解",
)
_SENTENCES = 8
"""Of one note."""


def made_up(number: int, notes: int = 6) -> Chart:
    """Return chart ``number`` with so many notes: a note is some 85 characters."""
    chance = Random(number)
    documents = [
        make_document(
            "C0038", _text(chance, number), id=f"n{at}", at=f"2026-03-{1 + at % 28:02}T09:00+08:00", author="李医生"
        )
        for at in range(notes)
    ]
    vitals = [make_vital("8310-5", f"{chance.uniform(36, 39):.1f}", unit="Cel")]
    return make_chart(documents=documents, vitals=vitals, patient=make_patient("王建国", sex="male"))


def _text(chance: Random, number: int) -> str:
    said = islice(iter(lambda: chance.choice(_SAID), None), _SENTENCES)
    return f"第{chance.randint(1, 9999)}次记录（{number}）。" + "。".join(said) + "。"
