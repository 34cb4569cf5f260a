"""Terminologies: what is loaded, from what, and that a reader sees all of a load or nothing."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hisbus.errors import ConfigError
from hisbus.terms import Release, Terms, covers, icd10cm, plain, store, table
from hisbus.terms.spans import any_covers, parse
from hisbus.terms.store import Row
from hisbus.terms.words import key, tokens, variants, words
from hisbus_bus.command.chosen import chosen
from hisbus_bus.command.main import app
from hisbus_bus.command.written import with_database

TABLE = (
    "诊断编码,诊断名称,别名,灰码,性别\n"
    "I21.900,急性心肌梗死,急性心梗；AMI,否,\nR07.400,胸痛,,是,\nN40.x00,前列腺增生,,否,男\n"
)


def release(system: str = "NATIONAL", kind: str = "diagnosis", **more: Any) -> Release:
    facts = {"version": "2.0", "source": "a.csv", "sha256": "ab" * 32, "loaded": "2026-03-01T00:00:00+00:00"}
    return Release(system, kind, **(facts | {"licence": "the hospital's"} | more))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "var" / "terms.db"


# --- tables -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_a_table_is_read_in_every_encoding_and_delimiter(encoding: str, delimiter: str) -> None:
    read = table.read(TABLE.replace(",", delimiter).encode(encoding))
    assert read.broken == []
    first, grey, male = read.rows
    assert (first.code, first.display) == ("I21.900", "急性心肌梗死")
    assert first.terms == [("synonym", "急性心梗"), ("synonym", "AMI")]
    assert first.principal and not grey.principal
    assert (first.sex, male.sex) == ("", "male")


def test_a_character_outside_gbk_survives() -> None:
    (row,) = table.read("编码,名称\nX1,㐂𠮷病\n".encode("gb18030")).rows
    assert row.display == "㐂𠮷病"


def test_a_table_in_another_encoding_is_refused() -> None:
    with pytest.raises(ConfigError, match="neither UTF-8 nor GB18030"):
        table.read("编码,名称\nX1,肺炎\n".encode("utf-16"))


def test_broken_rows_are_named_with_their_line() -> None:
    content = (
        "code,name,sex,least_age,grey\n"
        "A1,one,,,\n"
        "A2\n"
        ",three,,,\n"
        "A4,,,,\n"
        "A1,again,,,\n"
        "A6,six,both,,\n"
        "A7,seven,,old,\n"
        "A8,eight,,,perhaps\n"
        '"A9,nine",,x\n'
        "A10,ten,F,12,no\n"
        "\n"
    )
    read = table.read(content.encode())
    assert [row.code for row in read.rows] == ["A1", "A10"]
    assert [(broken.line, broken.reason) for broken in read.broken] == [
        (3, "1 cells where the header has 5"),
        (4, "no code"),
        (5, "no display"),
        (6, "its code came before"),
        (7, "sex is none of M, F, 男, 女"),
        (8, "least_age is no whole number of years"),
        (9, "grey is neither yes nor no"),
        (10, "3 cells where the header has 5"),
    ]


def test_the_most_of_a_day_has_a_number_and_a_unit() -> None:
    read = table.read("编码,名称,日最大剂量,剂量单位\nA,甲,4,g\nB,乙,,\nC,丙,4,\nD,丁,0,g\nE,戊,四,g\n".encode())
    assert [(row.code, row.notes) for row in read.rows] == [("A", [("daily", "4 g")]), ("B", [])]
    assert [(broken.line, broken.reason) for broken in read.broken] == [
        (4, "daily has no unit"),
        (5, "daily is no number above 0"),
        (6, "daily is no number above 0"),
    ]


def test_a_row_whose_quotes_do_not_close_is_broken() -> None:
    read = table.read(b'code,name\nA1,one\nA2,"two"x\nA3,three\n')
    assert [row.code for row in read.rows] == ["A1", "A3"]
    assert [broken.line for broken in read.broken] == [3]


def test_unknown_headers_are_named_by_the_operator() -> None:
    content = "ICD,疾病\nI10,高血压\n".encode()
    with pytest.raises(ConfigError, match="--column code="):
        table.read(content)
    (row,) = table.read(content, columns={"code": "ICD", "display": "疾病"}).rows
    assert (row.code, row.display) == ("I10", "高血压")
    with pytest.raises(ConfigError, match="no column '病'"):
        table.read(content, columns={"code": "ICD", "display": "病"})
    with pytest.raises(ConfigError, match="no field 'colour'"):
        table.read(content, columns={"colour": "ICD"})


# --- the file ---------------------------------------------------------------------------------------------------------


def loaded(file: Path, text: str = TABLE, **more: Any) -> Terms:
    store.load(file, release(**more), table.read(text.encode()).rows)
    return Terms(file)


def test_what_is_loaded_keeps_its_provenance(file: Path) -> None:
    terms = loaded(file)
    (one,) = terms.releases()
    assert (one.system, one.kind, one.version, one.source) == ("NATIONAL", "diagnosis", "2.0", "a.csv")
    assert (one.sha256, one.loaded, one.licence) == ("ab" * 32, "2026-03-01T00:00:00+00:00", "the hospital's")
    assert (one.rows, one.refused) == (3, 0)


def test_a_system_that_is_loaded_again_is_replaced_and_others_stay(file: Path) -> None:
    loaded(file)
    loaded(file, "编码,名称\nX1,收费项目\n", system="ITEMS", kind="item")
    terms = loaded(file, "编码,名称\nI10.x00,高血压病\n", version="3.0")
    assert [(one.system, one.version, one.rows) for one in terms.releases()] == [
        ("ITEMS", "2.0", 1),
        ("NATIONAL", "3.0", 1),
    ]
    national, items = terms.release("NATIONAL"), terms.release("ITEMS")
    assert national is not None and items is not None
    assert terms.concept(national, "I21.900") is None
    assert terms.search(national, "急性心肌梗死", 10) == []
    assert terms.concept(items, "x1") is not None


def test_a_reader_keeps_what_it_opened_while_a_load_takes_its_place(file: Path) -> None:
    before = loaded(file)
    after = loaded(file, "编码,名称\nI10.x00,高血压病\n")
    (old,), (new,) = before.releases(), after.releases()
    assert before.concept(old, "I21.900") is not None
    assert after.concept(new, "I21.900") is None


def test_a_load_that_fails_leaves_the_file_as_it_was(file: Path) -> None:
    loaded(file)

    def rows() -> Any:
        yield Row("A1", "one")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        store.load(file, release(), rows())
    terms = Terms(file)
    (one,) = terms.releases()
    assert one.rows == 3
    loaded(file)


def test_two_loads_at_a_time_are_refused(file: Path) -> None:
    def rows() -> Any:
        with pytest.raises(ConfigError, match="Another load"):
            store.load(file, release("OTHER"), [])
        yield Row("A1", "one")

    store.load(file, release(), rows())


def test_a_file_of_something_else_is_not_touched(file: Path) -> None:
    file.parent.mkdir()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE precious (x)")
    with pytest.raises(ConfigError):
        Terms(file)
    with pytest.raises(ConfigError, match="no file of terminologies"):
        loaded(file)
    file.write_bytes(b"not a database at all, but long enough to be taken for one" * 20)
    with pytest.raises(ConfigError):
        Terms(file)
    with pytest.raises(ConfigError, match="no file of terminologies"):
        loaded(file)


def test_a_crosswalk_leads_to_codes_of_another_system(file: Path) -> None:
    pairs = table.read("编码,对应编码\nI21.900,I21.9\nI21.900,I21.8\n".encode(), crosswalk=True).pairs
    store.load(file, release("NATIONAL-INSURANCE", "crosswalk", target="INSURANCE"), pairs=pairs)
    terms = Terms(file)
    (one,) = terms.releases()
    assert (one.kind, one.target, one.rows) == ("crosswalk", "INSURANCE", 2)
    assert terms.mapped(one, "i21900") == ["I21.8", "I21.9"]
    assert terms.mapped(one, "I10") == []


def test_codes_are_found_however_their_point_and_marks_are_written(file: Path) -> None:
    terms = loaded(file, "编码,名称\nG63.200*,糖尿病性多发性神经病\nI10.x00x002,高血压病2级\n")
    (one,) = terms.releases()
    assert terms.concept(one, "G63200") is not None
    found = terms.concept(one, "I10X00X002")
    assert found is not None and found.code == "I10.x00x002"


def test_names_are_found_by_their_key_and_by_their_words(file: Path) -> None:
    terms = loaded(file)
    (one,) = terms.releases()
    assert [(hit.concept.code, hit.kind) for hit in terms.named(one, key("急性心梗"))] == [("I21.900", "synonym")]
    assert terms.search(one, "心肌梗死（下壁）", 10)[0].concept.code == "I21.900"
    assert terms.search(one, "肺", 10) == []
    assert terms.search(one, "", 10) == []
    assert terms.search(one, 'AND "OR* NEAR(', 10) == []
    text = words("诊断为急性心肌梗死")
    assert terms.longest(one, text, 3) == 6
    assert terms.longest(one, text, 0) == 0


# --- ICD-10-CM --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def icd(icd_file: Path) -> Terms:
    return Terms(icd_file)


def test_icd_10_cm_is_read_from_the_data_of_the_installed_distribution(icd: Terms) -> None:
    (one,) = icd.releases()
    assert one.rows > 45_000
    assert one.version >= "2026"
    code = icd.concept(one, "A17.82")
    assert code is not None and code.display == "Tuberculous meningoencephalitis" and code.usable
    category = icd.concept(one, "A17")
    assert category is not None and not category.usable
    assert [at.code for at in icd.lineage(code)] == ["A17.82", "A17.8", "A17", "section A15-A19", "chapter 1"]
    assert ["A17.0", "A17.1", "A17.8", "A17.9"] == [child.code for child in icd.children(category)]
    assert icd.named(one, key("tuberculous myelitis"))[0].kind == "inclusion"


def test_notes_of_a_category_and_its_chapter_hold_for_a_code(icd: Terms) -> None:
    (one,) = icd.releases()
    code = icd.concept(one, "A17.82")
    assert code is not None
    notes = icd.notes(code, "excludes1")
    assert "section A15-A19" in {note.owner for note in notes}
    assert any(covers(span, "P37.0") for note in notes for span in note.spans)


def test_seventh_characters_are_those_of_the_nearest_category(icd: Terms) -> None:
    (one,) = icd.releases()

    def sevenths(code: str) -> dict[str, str]:
        concept = icd.concept(one, code)
        assert concept is not None
        return icd.sevenths(concept)

    assert sevenths("S72.001")["A"] == "initial encounter for closed fracture"
    assert sevenths("E11.321")["3"] == "bilateral"
    assert sevenths("I10") == {}


def test_a_manifestation_is_known_by_its_title(icd: Terms) -> None:
    (one,) = icd.releases()
    for code, expected in (("G63", True), ("I39", True), ("E11.9", False), ("Q99.8", False)):
        concept = icd.concept(one, code)
        assert concept is not None and concept.manifestation is expected


def test_what_is_no_tabular_list_is_refused(tmp_path: Path) -> None:
    for content in ("<a/>", "not xml"):
        (tmp_path / "a.xml").write_text(content)
        with pytest.raises(ConfigError, match=r"a\.xml"):
            icd10cm.read(tmp_path / "a.xml")


# --- codes and words --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "note, inside, outside",
    [
        ("bleeding (I21.-)", ["I21.9", "I21"], ["I22.0"]),
        ("x (A00-A09)", ["A00.0", "A09"], ["A10", "B00"]),
        ("x (O00-O07, O08.0)", ["O07.9", "O08.0"], ["O08.1"]),
        ("x (I82.4-, I82.81-)", ["I82.401", "I82.811"], ["I82.501"]),
        ("x (H60-H95) and y (Z16.-)", ["H95.9", "Z16.10"], ["H96"]),
        ("nothing named", [], ["A00"]),
    ],
)
def test_the_codes_of_a_note_are_read(note: str, inside: list[str], outside: list[str]) -> None:
    spans = parse(note)
    assert all(any_covers(spans, code) for code in inside)
    assert not any(any_covers(spans, code) for code in outside)


def test_codes_are_compared_without_their_marks() -> None:
    assert plain("g63.2*") == plain("G632") == "G632"


@pytest.mark.parametrize(
    "one, other",
    [
        ("Ⅱ型糖尿病", "II型糖尿病"),
        ("２型糖尿病", "2型糖尿病"),
        ("Type II Diabetes", "type 2 diabetes"),
        ("Alzheimer's disease", "alzheimer disease"),
        ("fractures", "fracture"),
    ],
)
def test_width_case_plural_and_roman_numerals_do_not_matter(one: str, other: str) -> None:
    assert key(one) == key(other)


def test_variants_leave_out_what_adds_nothing() -> None:
    assert "hypertension" in variants("Hypertension (arterial) (benign)")
    assert "pneumonia" in variants("Pneumonia, unspecified organism")
    assert "urinary tract infection" in variants("Urinary tract infection, site not specified")
    assert key("fracture of hip") in variants("Fracture of hip NOS")


def test_chinese_is_searched_by_pairs_of_characters() -> None:
    assert tokens("急性心梗 of the heart") == ["急性", "性心", "心梗", "heart"]


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hisbus.toml").write_text('site = "test"\n')
    (tmp_path / "national.csv").write_bytes(TABLE.encode("gb18030"))
    monkeypatch.setattr(chosen, "path", tmp_path / "hisbus.toml")
    return tmp_path


def command(*words: str) -> str:
    result = CliRunner().invoke(app, ["--config", "hisbus.toml", "terms", *words], env={"COLUMNS": "240"})
    if result.exception is not None:
        raise result.exception
    return result.output


def test_the_command_loads_and_lists(site: Path) -> None:
    said = command("load", "national.csv", "--system", "NATIONAL", "--version", "2.0", "--licence", "ours")
    assert "NATIONAL 2.0: 3 rows." in said
    assert (site / "var" / "terms.db").exists()
    shown = command("list")
    assert "NATIONAL" in shown and "national.csv" in shown and "ours" in shown


def test_a_load_has_the_stays_that_matter_judged_again_each_time(site: Path) -> None:
    (site / "national.csv").write_text("code,name\nA00,Cholera\n")
    words = ("load", "national.csv", "--system", "NATIONAL", "--version", "2.0")
    command(*words)
    assert not (site / "var" / "hisbus.db").exists(), "no stay has come, and nothing is made for none"
    with_database(migrated)
    stays = sqlite3.connect(site / "var" / "hisbus.db", isolation_level=None)
    columns = [row[1] for row in stays.execute("PRAGMA table_info(encounters)")]
    for id, status in (("e1", "admitted"), ("e2", "discharged")):
        stay = dict.fromkeys(columns, "") | {"id": id, "key": f"key-{id}", "status": status, "version": 1}
        stay |= {"now": "2026-03-02 08:00:00.000000", "stay": "{}"}
        stays.execute(f"INSERT INTO encounters VALUES ({', '.join('?' for _ in columns)})", list(stay.values()))
    for loads in (1, 2):
        assert "1 stays are judged again" in command(*words, "--licence", str(loads))
        ids = {row[0] for row in stays.execute("SELECT id FROM outbox WHERE key = 'key-e1'")}
        assert len(ids) == loads


async def migrated(_database: Any) -> None:
    """Make the tables, and nothing else."""


def test_broken_rows_stop_a_load_unless_they_are_left_out(site: Path, capsys: Any) -> None:
    (site / "broken.csv").write_text("code,name\nA1,one\nA2\n")
    words = ("load", "broken.csv", "--system", "B", "--version", "1")
    with pytest.raises(ConfigError, match="1 rows are broken, and nothing was loaded"):
        command(*words)
    assert not (site / "var").exists()
    assert "1 broken rows were left out" in command(*words, "--skip-broken")
    terms = Terms(site / "var" / "terms.db")
    (one,) = terms.releases()
    assert (one.rows, one.refused) == (1, 1)
    assert one.source == "broken.csv" and len(one.sha256) == 64


@pytest.mark.parametrize(
    "words, said",
    [
        (["national.csv"], "--system NAME --version VERSION"),
        (["national.csv", "--system", "A", "--version", "1", "--kind", "food"], "no kind 'food'"),
        (["national.csv", "--system", "A", "--version", "1", "--kind", "crosswalk"], "--target"),
        (["national.csv", "--system", "A", "--version", "1", "--column", "code"], "FIELD=HEADER"),
        (["nowhere.csv", "--system", "A", "--version", "1"], "cannot be read"),
    ],
)
def test_wrong_options_are_named(words: list[str], said: str, site: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        command("load", *words)
