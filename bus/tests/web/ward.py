"""A ward in tables: three stays, what an agent found in them, and a few messages. Rows alone, no step runs."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from hisbus_bus.desk import AgentState, ModelState
from hisbus_bus.flow.review import proposals
from hisbus_bus.kernel import tables
from hisbus_bus.kernel.bulk import write
from hisbus_bus.kernel.database import Database
from hisbus_bus.kernel.log import NewRecord
from hisbus_bus.kernel.log.sqlite import SqliteLog
from hisbus_bus.kernel.positions import position
from hisbus_bus.kernel.settings import Settings
from hisbus_bus.kernel.site import Site
from hisbus_bus.kernel.topics import Keys, digest
from hisbus_mapping import Losses
from hisbus_schemas import (
    LISTS,
    Chart,
    ChartDiagnosis,
    ChartDocument,
    ChartProcedure,
    ChartReading,
    Code,
    Effect,
    Evidence,
    Finding,
    Location,
    Moment,
    Patient,
    PatientId,
    Person,
    Proposal,
    Receipt,
    Section,
    Text,
    VisitId,
    WriteBack,
)

START = datetime(2026, 3, 2, 0, 30, tzinfo=UTC)
LOSSES = Losses(parts=5, values=30, read=27, unread={"ZPV-1": 2, "PV1-50": 1}, entries={"report": 1}, collided=1)
"""Of the first message."""
PROGRESS = (
    "患者神志清，精神可，诉咳嗽、咳痰较前减轻，无胸痛及呼吸困难。体温{t}℃，脉搏{p}次/分，呼吸18次/分，"
    "血压126/78mmHg。双肺呼吸音粗，右下肺可闻及少量湿啰音，心律齐，各瓣膜听诊区未闻及病理性杂音。"
    "腹软，无压痛。双下肢无水肿。继续目前抗感染治疗，注意体温及血象变化，复查胸部CT。"
)


def at(hours: float) -> Moment:
    return Moment(at=START + timedelta(hours=hours), offset=480)


def note(id: str, code: str, hours: float, author: str, *sections: tuple[str, str], **more: Any) -> ChartDocument:
    given: dict[str, Any] = {
        "id": id,
        "version": f"{id}-v",
        "number": f"DOC-{id}",
        "type": Code(code=code),
        "status": "signed",
        "author": Person(id="D1", name=author),
        "signed": at(hours),
        "received": START + timedelta(hours=hours, minutes=3),
        "filed": at(hours),
        "sections": [Section(name=title, title=title, text=text) for title, text in sections],
    }
    return ChartDocument(**(given | more))


def stay(id: str, number: str, name: str, sex: str, born: date, bed: str, **more: Any) -> Chart:
    given: dict[str, Any] = {
        "encounter": id,
        "version": 12,
        "now": START + timedelta(hours=120),
        "timezone": "Asia/Shanghai",
        "connector": "his",
        "visit": VisitId(authority="HOSP", number=number),
        "patient": Patient(id=PatientId(authority="HOSP", number=f"P{number}"), name=name, sex=sex, birth_date=born),
        "status": "admitted",
        "patient_class": "inpatient",
        "department": "呼吸内科",
        "attending": Person(id="D9", name="周建平"),
        "location": Location(ward="呼吸一区", room="0312", bed=bed),
        "admitted": at(0),
    }
    return Chart(**(given | more))


def pneumonia() -> Chart:
    sixth = note("n4", "C0038", 72, "李明", ("病程记录", PROGRESS.format(t="36.8", p="82")))
    return stay(
        "e1",
        "ZY2603001",
        "张建国",
        "male",
        date(1959, 8, 14),
        "05",
        documents=[
            note(
                "n1",
                "C0034",
                27.2,
                "李明",
                ("主诉", "发热、咳嗽、咳痰5天，加重伴气促1天。"),
                (
                    "现病史",
                    "患者5天前受凉后出现发热，体温最高39.2℃，伴畏寒，咳嗽，咳黄色黏痰，量中等，不易咳出。"
                    "自服“头孢克肟”3天，症状无明显好转。1天前出现活动后气促，无胸痛、咯血，无夜间阵发性呼吸困难。"
                    "门诊查胸部CT示右肺下叶炎症，为进一步诊治收入我科。",
                ),
                ("既往史", "高血压病史8年，规律服用氨氯地平，血压控制可。否认糖尿病、冠心病史。青霉素皮试阴性。"),
                ("初步诊断", "1. 社区获得性肺炎（右下肺，非重症）\n2. 高血压病2级（中危）"),
            ),
            note(
                "n2",
                "C0037",
                5,
                "李明",
                ("病例特点", "老年男性，急性起病。发热、咳嗽、咳痰5天，加重伴气促1天。右下肺可闻及湿啰音。"),
                (
                    "诊断依据",
                    "发热、咳嗽、咳黄痰；右下肺湿啰音；白细胞13.6×10⁹/L，中性粒细胞86.4%；胸部CT示右下肺实变影。",
                ),
                ("诊疗计划", "吸氧，头孢曲松联合阿奇霉素抗感染，祛痰对症，送检痰培养，监测体温、血氧饱和度。"),
            ),
            note("n3", "C0038", 48, "李明", ("病程记录", PROGRESS.format(t="37.4", p="88"))),
            sixth,
            note(
                "n5",
                "C0038",
                96,
                "李明",
                ("病程记录", "患者今晨体温正常，咳嗽明显减轻，拟明日复查胸部CT。"),
                status="draft",
                signed=None,
            ),
        ],
        diagnoses=[
            ChartDiagnosis(
                id="dg", version="v", status="admitting", code=Code(code="J18.900", text="肺炎"), time=at(0)
            ),
        ],
        vitals=[
            ChartReading(
                id=f"v{hour}",
                version="v",
                report="1",
                service=Code(text="生命体征"),
                item=Code(code=code, text=text),
                values=[value],
                unit=unit,
                time=at(hour),
            )
            for hour, code, text, value, unit in (
                (1, "8310-5", "体温", "39.1", "℃"),
                (2, "8867-4", "脉搏", "104", "次/分"),
                (30, "8310-5", "体温", "93.6", "℃"),
                (31, "59408-5", "血氧饱和度", "96", "%"),
            )
        ],
        results=[
            ChartReading(
                id="r1",
                version="v",
                report="L1",
                service=Code(text="血常规"),
                item=Code(code="WBC", text="白细胞"),
                values=["13.6"],
                unit="10⁹/L",
                range="3.5-9.5",
                flags=["H"],
                time=at(2),
            )
        ],
    )


def appendicitis() -> Chart:
    return stay(
        "e2",
        "ZY2603014",
        "欧阳慧敏",
        "female",
        date(1991, 2, 3),
        "11",
        department="普外科",
        location=Location(ward="普外二区", room="0807", bed="11"),
        documents=[note("m1", "C0034", 6, "王芳", ("主诉", "转移性右下腹痛12小时。"))],
        procedures=[
            ChartProcedure(
                id="op1",
                version="v",
                key="1",
                code=Code(code="47.0100", text="腹腔镜阑尾切除术"),
                start=at(10),
                end=at(11.5),
                operation=True,
                surgeon=Person(id="D4", name="陈志远"),
            )
        ],
    )


def stroke() -> Chart:
    page = note(
        "fp",
        "C0032",
        90,
        "病案室",
        fields={"FP.ID_CARD": "110101195003074514", "FP.SEX": "2", "FP.BIRTH_DATE": "19500307", "FP.AGE": "75"},
    )
    return stay(
        "e3",
        "ZY2602188",
        "马淑兰",
        "female",
        date(1950, 3, 7),
        "02",
        department="神经内科",
        location=Location(ward="神内一区", room="0601", bed="02"),
        status="discharged",
        discharged=at(88),
        documents=[page],
    )


TITLES = {
    "R01": ("入院记录未按时完成", "Admission record not in time"),
    "R10": ("手术记录未按时完成", "Operative record not in time"),
    "R13": ("出院（死亡）记录未按时完成", "Discharge or death record not in time"),
    "R27": ("生命体征数值不可能", "Vital sign that cannot be"),
    "R45": ("病程记录雷同", "Copied progress note"),
    "R48": ("病案首页身份信息不一致", "Front page disagrees with itself"),
    "R60": ("诊断依据不充分", "Thin diagnostic basis"),
}


def found(rule: str, zh: str, en: str, evidence: Sequence[Evidence], **more: Any) -> Finding:
    title = dict(zip(("zh", "en"), TITLES[rule], strict=True))
    return Finding(
        key=rule,
        rule=rule,
        message=Text(zh=zh, en=en),
        evidence=list(evidence),
        payload={"title": title, "source": "病历书写基本规范（2010）"},
        **more,
    )


def quote(document: ChartDocument, section: int = 0) -> Evidence:
    text = document.sections[section].text
    place = {"document": document.id, "version": document.version, "section": section}
    return Evidence(**place, begin=0, end=len(text), quote=text)


def findings(first: Chart, second: Chart, third: Chart) -> Sequence[tuple[Chart, Finding]]:
    record, copied = first.documents[0], first.documents[3]
    signed = record.signed.isoformat() if record.signed else ""
    return [
        (
            first,
            found(
                "R45",
                "2026-03-05 08:30 的病程记录与前一次（2026-03-04 08:30）文字相同99%，数字不计。",
                "The progress note of 2026-03-05 08:30 has 99 % the same text as the one before it (2026-03-04 08:30).",
                [quote(copied)],
                reads=[copied.ref, first.documents[2].ref],
                points=1,
            ),
        ),
        (
            first,
            found(
                "R01",
                "入院记录签名超时：入院2026-03-02 08:30，时限2026-03-03 08:30，签名2026-03-03 11:42。",
                "Admission record signed late: due by 2026-03-03 08:30, signed 2026-03-03 11:42.",
                [
                    Evidence(path="admitted", value=first.stay("admitted")),
                    Evidence(path="documents/n1/signed", value=signed),
                    quote(record),
                ],
                reads=[first.stay_ref("admitted"), record.ref],
                severity="critical",
                state="late",
                points=10,
                due=START + timedelta(hours=24),
            ),
        ),
        (
            first,
            found(
                "R27",
                "体温93.6 ℃，数值不可能（可能范围34至42°C）。",
                "Temperature 93.6 °C cannot be (possible: 34 to 42 °C).",
                [Evidence(path="vitals/v30", value="93.6")],
                reads=["v30@v"],
                points=1,
            ),
        ),
        (
            first,
            found(
                "R60",
                "首次病程记录中诊断依据未提及病原学检查。",
                "The first progress note names no pathogen test.",
                [Evidence(document="n2", version="n2-v", section=1, begin=0, end=6, quote="未行痰培养。")],
                reads=["n2@n2-v"],
                severity="info",
            ),
        ),
        (
            second,
            found(
                "R10",
                "手术“腹腔镜阑尾切除术”结束后24小时内无已签名的手术记录（时限2026-03-03 20:00）。",
                "No signed operative record within 24 h of the end of the operation “腹腔镜阑尾切除术”.",
                [Evidence(path="procedures/op1/end", value=at(11.5).isoformat())],
                reads=["op1@v"],
                severity="critical",
                state="absent",
                points=10,
                due=START + timedelta(hours=35.5),
            ),
        ),
        (
            third,
            found(
                "R48",
                "病案首页信息不一致：身份证号第17位与性别不符。",
                "The front page disagrees with itself: the identity card's 17th digit and the sex.",
                [
                    Evidence(path="documents/fp/fields/FP.ID_CARD", value="110101195003074514"),
                    Evidence(path="documents/fp/fields/FP.SEX", value="2"),
                ],
                reads=["fp@fp-v"],
                points=1,
            ),
        ),
        (
            third,
            found(
                "R13",
                "出院后24小时内无已签名的出院记录。",
                "No signed discharge record within 24 h of discharge.",
                [Evidence(path="discharged", value=third.stay("discharged"))],
                reads=["fp@an-older-version"],
                severity="critical",
                state="absent",
                points=10,
                due=START + timedelta(hours=112),
            ),
        ),
    ]


async def put_chart(connection: AsyncConnection, chart: Chart) -> None:
    patient = chart.patient
    assert patient is not None
    key = f"patient-{chart.encounter}"
    shown = {"id": key, "authority": "HOSP", "number": patient.id.number, "survivor": key, "numbers": 1, "said": "{}"}
    await connection.execute(tables.patients.insert(), shown | {"shown": patient.model_dump_json()})
    own = ("status", "patient_class", "location", "attending", "department", "admitted", "discharged", "disposition")
    stay = chart.model_dump(mode="json", include=set(own), exclude_none=True)
    row = {
        "id": chart.encounter,
        "authority": "HOSP",
        "number": chart.visit.number,
        "patient": key,
        "connector": chart.connector,
        "timezone": chart.timezone,
        "key": "k",
        "version": chart.version,
        "now": chart.now,
        "status": chart.status,
        "claims": "{}",
        "named": "{}",
        "assigned": "{}",
        "stay": json.dumps(stay),
    }
    await connection.execute(tables.encounters.insert(), row)
    entries = [(part.name, entry) for part in LISTS for entry in getattr(chart, part.name)]
    for number, (part, entry) in enumerate(entries):
        body = json.dumps([entry.model_dump(mode="json")])
        place = {"entry": entry.id, "part": part, "place": f"{number:04}", "last": "", "body": body}
        await connection.execute(tables.entries.insert(), {"encounter": chart.encounter, **place})


async def put_finding(
    connection: AsyncConnection, chart: Chart, said: Proposal, opened: datetime, agent: str = "qc"
) -> str:
    body = said.model_dump_json().encode()
    identity = proposals.identity("ward", agent, chart.encounter, said.key)
    row = {
        "id": proposals.revision_id(identity, 1),
        "identity": identity,
        "revision": 1,
        "agent": agent,
        "agent_version": "1",
        "encounter": chart.encounter,
        "fingerprint": said.stamp(),
        "status": "open",
        "rectified": False,
        "version": chart.version,
        "event": "",
        "department": chart.department,
        "author": getattr(said, "author", ""),
        "opened": opened,
        "body": body,
        "etag": proposals.etag(body, 1),
        **{name: getattr(said, name) for name in ("key", "kind", "rule", "state", "severity", "points", "due")},
    }
    await connection.execute(tables.proposals.insert(), row)
    change = {"proposal": row["id"], "time": opened, "status": "open", "actor": "step:review", "detail": ""}
    await connection.execute(tables.proposal_history.insert(), change)
    return str(row["id"])


class Quiet:
    """A connector that the page may name; the stand-in below writes in its place."""

    name, timezone, clock, writes, plaintext = "his", "Asia/Shanghai", "feed", True, ()

    async def check(self) -> list[str]:
        return []

    async def listen(self, sink: Any) -> None:
        raise NotImplementedError

    def translate(self, raw: Any) -> Any:
        raise NotImplementedError

    async def write(self, writeback: WriteBack, begin: Any) -> Receipt:
        raise NotImplementedError

    async def find(self, writeback: WriteBack) -> Effect:
        return "unknown"


NO_MODEL = ModelState("none")


@dataclass(frozen=True)
class Agents:
    agents: Sequence[AgentState]
    model: ModelState = NO_MODEL


async def put_writeback(connection: AsyncConnection, proposal: str, encounter: str, **more: Any) -> str:
    now = datetime.now(UTC)
    row = {
        "id": digest("writeback", proposal)[:20],
        "decision": digest("decision", proposal),
        "proposal": proposal,
        "encounter": encounter,
        "connector": "his",
        "document": proposal,
        "status": "queued",
        "attempts": 0,
        "failures": 0,
        "not_before": now,
        "lease": "",
        "code": "",
        "said": "",
        "control_id": "",
        "created": now,
        "changed": now,
        "note": "",
        "resolved_by": "",
        "body": b"",
    } | more
    await connection.execute(tables.writebacks.insert(), row)
    return str(row["id"])


MESSAGE = (
    "MSH|^~\\&|EMR|HOSP|HISBUS|QC|20260302083000+0800||ADT^A01^ADT_A01|{id}|P|2.5||||||UNICODE UTF-8\r"
    "EVN||20260302083000+0800\r"
    "PID|1||PZY2603001^^^HOSP^MR||张^建国||19590814|M\r"
    "PV1|1|I|呼吸一区^0312^05^HOSP||||D9^周^建平|||呼吸内科|||||||||ZY2603001^^^HOSP\r"
)


async def put_messages(site: Site) -> None:
    """Store four messages; the last is not yet translated, the second was parked."""
    states = (("mapped", "", "ADT^A01"), ("parked", "bad_segment", "MDM^T02"), ("unmapped", "", "BAR^P01"))
    for number in range(4):
        kind = states[number][2] if number < 3 else "ORU^R01"
        headers = {
            "message": f"m{number}",
            "connector": "his",
            "control_id": f"MSG{number:05}",
            "msgtype": kind,
            "ack": f"MSH|^~\\&|HISBUS\rMSA|AA|MSG{number:05}\r",
        }
        body = MESSAGE.format(id=f"MSG{number:05}").encode()
        await site.log.append([NewRecord("raw", "k", body, headers)])
    subscription = await site.log.subscribe("raw", site.group("translate"), assigned=_nowhere, revoked=_gone)
    await subscription.fetch(10, 1.0)
    await subscription.commit({0: 3})
    await subscription.close()
    async with site.database.write() as connection:
        await write(connection, position(site.group("translate"), "raw", {0: 3}))
        for number, (status, reason, kind) in enumerate(states):
            row = {
                "id": f"0.{number}",
                "message": f"m{number}",
                "first": True,
                "connector": "his",
                "control_id": f"MSG{number:05}",
                "sender": "his",
                "type": kind,
                "received": datetime.now(UTC),
                "partition": 0,
                "offset": number,
                "status": status,
                "revision": 1,
                "mapping": "1",
                "flags": json.dumps(["line_ends"] if number == 2 else []),
                "unmapped": json.dumps(["ZPV"] if number == 0 else []),
                "losses": LOSSES.written() if number == 0 else "",
                "reason": reason,
                "ack": f"MSA|AA|MSG{number:05}",
            }
            await connection.execute(tables.messages.insert(), row)
        parked = {
            "id": "parked-1",
            "step": "translate",
            "topic": "raw",
            "partition": 0,
            "offset": 1,
            "key": "k",
            "headers": "{}",
            "value": b"",
            "reason": "bad_segment",
            "stack": "",
            "attempts": 1,
            "parked": datetime.now(UTC),
            "status": "parked",
            "message": "m1",
            "encounter": "",
        }
        await connection.execute(tables.parked.insert(), parked)


async def _nowhere(_partitions: Any) -> Mapping[int, int]:
    return {}


async def _gone(_partitions: Any) -> None:
    return None


@asynccontextmanager
async def opened(path: Path, url: str) -> AsyncIterator[Site]:
    """Open a site with three stays, seven findings, one write-back and four messages, in an empty database."""
    database = Database(url)
    async with database.engine.begin() as connection:
        await connection.run_sync(tables.metadata.create_all)
    log = await SqliteLog.open(path / "log.db")
    site = Site(Settings(site="ward", terms_file=path / "terms.db"), Keys(b"secret"), log, database)
    charts = pneumonia(), appendicitis(), stroke()
    now = datetime.now(UTC) - timedelta(hours=1)
    async with database.write() as connection:
        for chart in charts:
            await put_chart(connection, chart)
        for number, (chart, said) in enumerate(findings(*charts)):
            id = await put_finding(connection, chart, said, now - timedelta(minutes=7 * number))
            if said.rule == "R48":
                await put_writeback(connection, id, chart.encounter, status="undecided", code="silence", attempts=1)
    await put_messages(site)
    yield site
    await log.close()
    await database.close()
