"""The page of a stay shows every part of its chart."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from hisbus_bus.desk.texts import texts
from hisbus_bus.kernel.site import Site
from hisbus_schemas import LISTS, Entry, Evidence


@pytest.mark.parametrize("language", ["zh", "en"])
async def test_a_reviewer_sees_every_part_of_the_chart(
    client: Any, site: Site, rows: Any, parts: dict[str, Entry], language: str
) -> None:
    chart = rows.stay("e9", "ZY9", "李", "male", date(1959, 8, 14), "05")
    chart = chart.model_copy(update={name: [entry] for name, entry in parts.items()})
    charge = parts["charges"]
    evidence = [Evidence(path=f"charges/{charge.id}", value=charge.value)]
    async with site.database.write() as connection:
        await rows.put_chart(connection, chart)
        said = rows.found("R27", "收费", "charged", evidence)
        id = await rows.put_finding(connection, chart, said, datetime.now(UTC))
    page = (await client("viewer", page=True).get(f"/findings/{id}", headers={"accept-language": language})).text
    words = texts(language)["fact"]
    for part in LISTS:
        shown = parts[part.name]
        assert (shown.value or shown.title) in page, part.name
        assert part.name == "documents" or f"<h3>{words[part.name]}</h3>" in page, part.name
    assert f'<mark data-for="{id}"' in page, "what proves a finding about a charge is marked"
