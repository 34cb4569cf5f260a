"""The directory of staff: what a file must be, what an import changes, and who is shut out by it."""

import json
from typing import Any

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select

from hisbus.errors import ConfigError, Forbidden
from hisbus_bus.kernel import people, tables
from hisbus_bus.kernel.people import User, directory, errors, passwords, staff
from hisbus_bus.kernel.people.directory import Person
from hisbus_bus.kernel.site import Site

HEADER = "number,authority,name,department,title,head"
LI = "D101,HIS,李娜,呼吸内科,主治医师,no"
WANG = "D102,HIS,王强,呼吸内科,主任医师,yes"
ZHAO = "D103,HIS,赵敏,病案科,,"


@pytest.fixture(autouse=True)
def light_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


def table(*rows: str, header: str = HEADER) -> bytes:
    return "\n".join((header, *rows)).encode()


async def imported(site: Site, *rows: str) -> staff.Plan:
    read = directory.read(table(*rows))
    assert not read.mistakes
    plan = await staff.plan(site.database, read.people)
    await staff.take(site.database, read.people, plan)
    return plan


async def told(site: Site) -> list[tuple[str, str, dict[str, Any]]]:
    async with site.database.read() as connection:
        rows = await connection.execute(select(tables.audit).order_by(tables.audit.c.id))
        return [(row.action, row.object, json.loads(row.detail)) for row in rows]


# --- the file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
@pytest.mark.parametrize("separator", [",", "\t", ";"])
def test_a_file_is_read_as_hospitals_write_it(encoding: str, separator: str) -> None:
    text = "工号,姓名,科室,职称,科主任\r\n0101,李娜,呼吸内科,主治医师,否\r\n\r\n0102,王强,呼吸内科,主任医师,是\r\n"
    found = directory.read(text.replace(",", separator).encode(encoding))
    assert found.mistakes == []
    assert found.people == [
        Person("", "0101", "李娜", "呼吸内科", "主治医师"),
        Person("", "0102", "王强", "呼吸内科", "主任医师", head=True),
    ]


@pytest.mark.parametrize(
    ("rows", "row", "reason"),
    [
        ((LI, "D1,HIS,=cmd(),x,,"), 3, "name begins with ="),
        ((LI, "D1,HIS,x,@x,,"), 3, "department begins with"),
        ((LI, "", "-1,HIS,x,,,"), 4, "number begins with"),
        ((LI, WANG, LI), 4, "its number stands in row 2 already"),
        ((LI, ",HIS,x,,,"), 3, "number is empty"),
        ((LI, "D1,HIS,,,,"), 3, "name is empty"),
        ((LI, "D1,HIS,x,,,maybe"), 3, "head is neither yes nor no"),
        ((LI, "D1,HIS,x"), 3, "3 cells where the header has 6"),
        ((LI, '"D1",HIS,"x\ny",,,', WANG), 3, "name holds a line break"),
        ((LI, '"D1",HIS,"x'), 3, "its quotes do not close"),
        ((LI, f"D1,HIS,{'x' * 201},,,"), 3, "name is longer than 200"),
        ((LI, "1.20045E+11,HIS,x,,,"), 3, "number was shortened by a spreadsheet"),
    ],
)
def test_each_mistake_is_named_with_its_row_and_repeats_nothing(rows: tuple[str, ...], row: int, reason: str) -> None:
    (mistake,) = directory.read(table(*rows)).mistakes
    assert (mistake.row, mistake.reason[: len(reason)]) == (row, reason)
    assert "cmd" not in mistake.reason


def test_every_mistake_is_named_not_only_the_first() -> None:
    found = directory.read(table("D1,HIS,,x,,maybe", "=1,HIS,x,,,"))
    assert [(mistake.row, mistake.reason.split()[0]) for mistake in found.mistakes] == [
        (2, "name"),
        (2, "head"),
        (3, "number"),
    ]


@pytest.mark.parametrize(
    ("header", "reasons"),
    [
        ("number,name,salary", ["column 3 is not known"]),
        ("number,姓名,name", ["columns 2 and 3 are both name"]),
        ("number,department", ["the column name is missing"]),
        ("", ["the column number is missing", "the column name is missing"]),
    ],
)
def test_a_header_that_cannot_be_gone_by_is_named(header: str, reasons: list[str]) -> None:
    found = directory.read(table("a,b,c", header=header))
    assert found.people == []
    assert {mistake.row for mistake in found.mistakes} == {1}
    assert all(told.reason.startswith(reason) for told, reason in zip(found.mistakes, reasons, strict=True))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (HEADER.encode("utf-16"), "neither UTF-8 nor GB18030"),
        (b"number,name\n1,\xff\xff", "neither UTF-8 nor GB18030"),
        (b"PK\x03\x04\x14\0\x06\0", "Row 1 holds a NUL character. Save the file as CSV in UTF-8 or GB18030"),
        (b"number,name\n1,A\n2,B\0\n", "Row 3 holds a NUL character"),
        (HEADER.encode(), "names nobody"),
    ],
)
def test_what_is_no_such_file_is_refused_in_words(content: bytes, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        directory.read(content)


# --- the import -------------------------------------------------------------------------------------------------------


async def test_an_import_says_what_changes_and_a_second_one_changes_nothing(site: Site) -> None:
    first = await imported(site, LI, WANG)
    assert ([person.name for person in first.new], first.gone) == (["李娜", "王强"], [])
    assert (await imported(site, LI, WANG)).nothing
    assert [action for action, *_ in await told(site)] == ["staff.imported"]
    second = await imported(site, LI.replace("主治", "副主任"), ZHAO)
    ((before, after),) = second.changed
    assert (before.title, after.title) == ("主治医师", "副主任医师")
    assert ([one.name for one in second.new], [one.name for one in second.gone]) == (["赵敏"], ["王强"])
    listed = await staff.everybody(site.database, left=True)
    assert {one.person.name: one.left is None for one in listed} == {"李娜": True, "赵敏": True, "王强": False}
    third = await imported(site, LI.replace("主治", "副主任"), ZHAO, WANG)
    assert ([one.name for one in third.back], third.new, third.changed) == (["王强"], [], [])
    assert (await told(site))[-1] == ("staff.imported", "staff", {"new": 0, "changed": 0, "back": 1, "gone": 0})
    assert len(await staff.everybody(site.database)) == 3


async def test_a_file_says_nothing_about_numbers_of_another_authority(site: Site) -> None:
    await imported(site, LI, "7,LIS,孙莉,检验科,,")
    plan = await imported(site, WANG)
    assert [person.name for person in plan.gone] == ["李娜"]


async def test_who_left_is_shut_out_with_all_they_had_open(site: Site) -> None:
    database = site.database
    await people.add(database, "boss", "admin", "correct horse")
    for name, number in (("li", "D101"), ("wang", "D102"), ("zhao", "D103")):
        await people.add(database, name, "reviewer", "correct horse")
        await people.add_number(database, name, number, "HIS")
    await people.add_number(database, "zhao", "D104", "HIS")
    await imported(site, LI, WANG, ZHAO, ZHAO.replace("D103", "D104"))
    session = await people.log_in(site, "li", "correct horse")
    assert session is not None
    token = await people.token(database, "li")
    plan = await imported(site, WANG, ZHAO.replace("D103", "D104"))
    assert plan.users == ["li"], "zhao is known by another number that stays"
    assert await people.of_session(site, session.cookie) is None
    assert await people.of_token(site, token) is None
    assert {user.name for user in await people.listed(database) if user.disabled} == {"li"}
    assert ("user.disabled", "li", {"reason": "left", "sessions": 1, "tokens": 1}) in await told(site)


async def test_a_user_is_called_what_the_directory_calls_them(site: Site) -> None:
    await people.add(site.database, "li", "reviewer", "correct horse")
    await imported(site, LI)
    await people.add_number(site.database, "li", "D101", "HIS")
    user = await people.one(site.database, "li")
    assert (user.full_name, user.department, user.title) == ("李娜", "呼吸内科", "主治医师")
    await imported(site, LI.replace("主治", "副主任"))
    assert (await people.one(site.database, "li")).title == "副主任医师"


async def test_an_import_never_shuts_out_the_last_admin_and_then_takes_nothing(site: Site) -> None:
    await people.add(site.database, "li", "admin", "correct horse")
    await people.add_number(site.database, "li", "D101", "HIS")
    await imported(site, LI)
    with pytest.raises(errors.LastAdmin, match="li is the last admin"):
        await imported(site, WANG)
    assert [one.person.name for one in await staff.everybody(site.database)] == ["李娜"]
    assert not (await people.one(site.database, "li")).disabled


async def test_what_was_not_shown_is_not_done(site: Site) -> None:
    await people.add(site.database, "boss", "admin", "correct horse")
    await people.add(site.database, "li", "reviewer", "correct horse")
    await imported(site, LI, WANG)
    read = directory.read(table(WANG)).people
    plan = await staff.plan(site.database, read)
    await people.add_number(site.database, "li", "D101", "HIS")
    with pytest.raises(staff.ChangedMeanwhile):
        await staff.take(site.database, read, plan)
    assert not (await people.one(site.database, "li")).disabled
    with pytest.raises(Forbidden):
        await staff.take(site.database, read, await staff.plan(site.database, read), by=User("li", "admin"))
    assert len(await staff.everybody(site.database)) == 2
