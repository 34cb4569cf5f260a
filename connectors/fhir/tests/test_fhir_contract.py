"""What every connector must do, held by this one."""

import json
from typing import Any

from hisbus_fhir import FhirConnector
from hisbus_mapping.testing import ConnectorContract


def bundle(**fields: Any) -> bytes:
    return json.dumps({"resourceType": "Bundle", "type": "collection", **fields}).encode()


def entry(**resource: Any) -> list[dict[str, Any]]:
    return [{"fullUrl": f"urn:x:{resource['resourceType']}", "resource": resource}]


class TestContract(ConnectorContract):
    connector = FhirConnector({"name": "ehr", "type": "fhir", "timezone": "Asia/Shanghai"})
    messages = (
        bundle(id="1", entry=entry(resourceType="Patient", id="p", gender="male")),
        bundle(
            id="2", type="batch", entry=entry(resourceType="Encounter", status="planned", **{"class": {"code": "IMP"}})
        ),
        bundle(identifier={"value": "3"}),
        bundle(),
    )
    broken = (
        b"hello",
        b'{"resourceType": "Bundle", "type": "collection", "total": NaN}',
        b"[]",
        b'{"resourceType": "Patient"}',
        b'{"resourceType": "Bundle", "type": "collection", "type": "batch"}',
        bundle(type="searchset"),
        bundle(type=["collection"]),
        bundle(entry=entry(resourceType="Encounter", status="finished")),
        bundle(entry=entry(resourceType="Nobody")),
        bundle(entry=[{"resource": {"id": "of no type"}}]),
        bundle(entry=[{"resource": {}}]),
        bundle(entry=entry(resourceType="HumanName")),
        bundle(entry=entry(resourceType="Patient", contained=[{"id": "of no type"}])),
        bundle(entry=[{"resource": "text"}]),
        bundle(entry="text"),
        b"[" * 100_000,
    )


async def test_a_bundle_sent_again_with_a_new_stamp_is_a_copy_and_one_that_says_something_else_is_not() -> None:
    contract = TestContract()
    male, female = (entry(resourceType="Patient", gender=gender) for gender in ("male", "female"))
    first, again = (bundle(id="1", meta={"lastUpdated": f"2026-03-02T0{n}:00:00Z"}, entry=male) for n in (1, 2))
    other = bundle(id="1", meta={"lastUpdated": "2026-03-02T01:00:00Z"}, entry=female)
    arrivals = [await contract.arrive(one) for one in (first, again, other)]
    assert arrivals[0].id == arrivals[1].id != arrivals[2].id
    assert {one.control_id for one in arrivals} == {"1"}, "the second content of a number is seen to be one"
    nameless = [await contract.arrive(bundle(meta={"lastUpdated": f"2026-03-02T0{n}:00:00Z"})) for n in (1, 2)]
    assert nameless[0].id != nameless[1].id


def test_a_file_holds_one_bundle_a_list_of_them_or_one_on_each_line() -> None:
    connector, (one, other, *_) = TestContract.connector, TestContract.messages
    assert connector.split(one + b"\n\n" + other + b"\n") == [one, other]
    assert [json.loads(each) for each in connector.split(b"[" + one + b"," + other + b"]")] == [
        json.loads(one),
        json.loads(other),
    ]
