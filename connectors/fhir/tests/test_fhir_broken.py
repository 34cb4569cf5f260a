"""Whatever is sent, it is read or refused with a code, and what is refused is not told."""

import copy
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hisbus import BadMessage, Raw
from hisbus_fhir import FhirConnector
from hisbus_mapping import Mapping

CASES = Path(__file__).parent / "cases"
CONNECTOR = FhirConnector({"name": "ehr"})
MAPPING = Mapping(CONNECTOR)
BUNDLES = [
    json.loads(one) for path in sorted(CASES.glob("0[158]-*.json")) for one in CONNECTOR.split(path.read_bytes())[:5]
]
ANYTHING = st.sampled_from([None, True, 5, 2.5, "", "text", [], {}, ["text"], [{}], {"value": "x"}, [[1]], {"id": 7}])


def places(node: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if at:
        yield at
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from places(value, (*at, key))


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_a_bundle_with_anything_in_one_place_is_read_or_refused(data: Any) -> None:
    node = copy.deepcopy(data.draw(st.sampled_from(BUNDLES)))
    *way, last = data.draw(st.sampled_from(list(places(node))))
    holder = node
    for key in way:
        holder = holder[key]
    if data.draw(st.booleans()):
        holder[last] = data.draw(ANYTHING)
    else:
        del holder[last]
    try:
        MAPPING.translate(Raw("m", json.dumps(node).encode(), datetime(2026, 3, 31, tzinfo=UTC)))
    except BadMessage as error:
        assert error.code


def test_what_is_refused_is_not_told() -> None:
    patient = {"resourceType": "Patient", "birthDate": "the secret of Li"}
    body = json.dumps({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": patient}]}).encode()
    with pytest.raises(BadMessage) as caught:
        CONNECTOR.read(Raw("m", body, datetime(2026, 3, 31, tzinfo=UTC)))
    assert caught.value.code == "not_fhir"
    assert caught.value.__cause__ is None and caught.value.__suppress_context__, "a traceback would tell it"
    assert "secret" not in str(caught.value)
