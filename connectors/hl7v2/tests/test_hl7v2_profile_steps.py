"""What a compiled profile asks of a message: an overlay of a site costs nothing more than what it changes."""

from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

from tests.bench import floor_translate, message

from hisbus import Raw
from hisbus_hl7v2 import Hl7v2Connector
from hisbus_hl7v2.paths import Hl7Format
from hisbus_mapping import Mapping

from .conftest import RECEIVED

OVERLAY = """
codes.sex.words = { "女" = "female" }
codes.class.words.IP = "inpatient"
codes.document.words.RYJL = "C0034"
codes.unit.words."℃" = "Cel"
codes.consultation.same = ["HZ"]
dates = ["compact", "iso"]
subject.demographics.id_card = { each = "PID-3", when = { path = "5", in = ["SFZ"] }, from = "1" }
subject.stay.department = "PV1-3.4"
facts.charges.off = true
facts.procedures.data.operation.when.in = ["P", "O", "SS"]
out.MSH-5 = "EMR"
"""
"""Ten things that a HIS does in its own way, and how write-backs leave."""


class Counting(Hl7Format):
    """Counts how often what it compiles is called."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name not in ("text", "several", "texts", "every", "groups", "deleted"):
            return found

        def compiled(*given: Any) -> Any:
            read = found(*given)

            def counted(group: Any, run: Any) -> Any:
                self.calls[name] += 1
                return read(group, run)

            return counted

        return compiled


def body() -> bytes:
    """Return the message that is measured with."""
    return message.body(next(islice(message.shots("steps"), 1)))


def asked(**table: Any) -> Counter[str]:
    """Return how often the readers of paths are called for one ADT."""
    connector = Hl7v2Connector({"name": "his", "type": "hl7v2", "timezone": "Asia/Shanghai", **table})
    connector.format = counting = Counting()
    mapping = Mapping(connector)
    assert mapping.translate(Raw("m", body(), RECEIVED)).mapped
    return counting.calls


def test_an_overlay_asks_a_message_no_more_often(tmp_path: Path) -> None:
    (tmp_path / "our-his.toml").write_text(OVERLAY, encoding="utf-8")
    assert asked(profile=tmp_path / "our-his.toml") == asked()


def test_plain_texts_of_a_segment_are_read_at_once() -> None:
    calls = asked()
    assert calls["several"] > 0
    assert calls["text"] < 60, "each is a call of its own"


def test_the_floor_of_the_bench_reads_the_same(corpus: Path) -> None:
    mapping = Mapping(Hl7v2Connector({"name": "his", "type": "hl7v2", "timezone": "Asia/Shanghai"}))
    read = mapping.translate(Raw("m", body(), RECEIVED)).facts
    assert floor_translate.translate(body()) == read
