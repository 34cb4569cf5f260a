"""A code that nobody knows is asked of a person; what hangs on it is judged once it is answered, and not before."""

from typing import Any

ADMISSION = (
    "MSH|^~\\&|EMR|HOSP|HISBUS|QC|{time}+0800||ADT^A01^ADT_A01|{visit}-1|P|2.5||||||UNICODE UTF-8\r"
    "EVN||{time}+0800\rPID|1||P{visit}^^^HOSP^MR||Wang^X\r"
    "PV1|1|{kind}|W3||||||||||||||||{visit}^^^HOSP|||||||||||||||||||||||||{time}+0800\r"
)


def admission(time: str, visit: str, kind: str) -> bytes:
    return ADMISSION.format(time=time, visit=visit, kind=kind).encode()


async def findings(bus: Any) -> set[tuple[str, str]]:
    return {(item["visit"], item["rule"]) for item in await bus.everything("proposals", status="open")}


async def chart(bus: Any, visit: str) -> dict[str, Any]:
    (found,) = (await bus.post("charts/search", {"visit": visit})).json()["items"]
    return {**found, **await bus.get(f"charts/{found['id']}")}


async def unjudged(bus: Any, visit: str) -> set[tuple[str, str]]:
    """Return the rules that could not look at a stay, with why."""
    id = (await chart(bus, visit))["id"]
    return {
        (one["rule"], one["reason"])
        for said in (await bus.get(f"charts/{id}/assessments"))["items"]
        for one in said["unevaluated"]
    }


async def test_an_unknown_class_is_judged_once_a_person_has_said_what_it_is(hospital: Any) -> None:
    async with hospital() as bus:
        await bus.send([admission("20260302083000", "V1", "IP"), admission("20260302083100", "V2", "I")])
        await bus.send([admission("20260303100000", "V3", "OP")])  # the feed's clock goes on: R01 is due after 24 h
        await bus.idle()
        assert ("V2", "R01") in await findings(bus)
        assert {visit for visit, _ in await findings(bus)} == {"V2"}
        assert ("R01", "unknown_code") in await unjudged(bus, "V1")
        assert [one["item"] for one in (await chart(bus, "V1"))["unknown"]] == ["class"]
        found = {one["code"]: one for one in await bus.everything("codes", status="open")}
        assert found.keys() == {"IP", "OP"}
        assert (found["IP"]["sender"], found["IP"]["stays"], found["IP"]["messages"]) == ("EMR^HOSP", 1, 1)

        body = {name: found["IP"][name] for name in ("connector", "sender", "table", "code")}
        assert (await bus.post("codes", body | {"word": "inpatient"})).status_code == 200
        await bus.idle()
        assert (await chart(bus, "V1"))["unknown"] == [] and (await chart(bus, "V3"))["unknown"] != []
        assert ("V1", "R01") in await findings(bus)
        assert ("R01", "unknown_code") not in await unjudged(bus, "V1")
        (left,) = await bus.everything("codes", status="open")
        assert left["code"] == "OP"
        (done,) = await bus.everything("codes", status="answered")
        assert (done["who"], done["pending"], done["messages"]) == ("user:tester", False, 0)

        assert (await bus.post("codes", body | {"word": "outpatient"})).status_code == 200
        await bus.idle()
        assert ("V1", "R01") not in await findings(bus), "an outpatient has no admission record"
