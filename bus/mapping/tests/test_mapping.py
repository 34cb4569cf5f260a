"""Profiles, envelopes and what is made of them; none of it knows a format."""

import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib import invalidate_caches
from pathlib import Path
from typing import Any

import pytest

from hisbus import Arrival, BadMessage, ConfigError, Counted, Raw, Reads, Unread
from hisbus_mapping import Mapping, read_profile
from hisbus_mapping.name import modules_of
from hisbus_schemas import Fact, Moment, PatientId

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
PROFILE = """
name = "lines"
function = "{function}"

[envelope.patient]
each = "id"
number = "number"
authority = ["name", "universal"]
prefer = {{ path = "type", among = ["MR"] }}

[[envelope.refuse]]
code = "self_merge"
types = ["merge"]
each = "pair"
same = ["id", "prior"]
"""
CODE = {
    "__init__": "",
    "facts": """
        from datetime import UTC, datetime
        from hisbus_schemas import Fact, Moment
        from vendor.words import KIND

        def facts(source):
            return [Fact(kind=KIND, time=Moment(at=datetime(2026, 3, 2, tzinfo=UTC)))]
    """,
    "words": 'KIND = "encounter.admitted"',
    "unused": "NOBODY = 1",
    "reading": """
        from vendor import format

        class Connector:
            def read(self, raw, reads=None):
                return format.Source(raw)
    """,
    "format": """
        class Source:
            def __init__(self, raw):
                self.flags = []
    """,
}


class Group:
    """A source made of tables: ``{"id": [{"number": ...}]}``."""

    withheld = authority = sender = ""

    def __init__(self, said: dict[str, Any], type: str = "") -> None:
        self._said = said
        self.type = type
        self.flags: list[str] = ["odd"]

    def groups(self, path: str) -> Sequence["Group"]:
        return [Group(one) for one in self._said.get(path, [])]

    def texts(self, path: str) -> Sequence[str]:
        return [self._said[path]] if path in self._said else []

    def unread(self, reads: Reads) -> Sequence[Unread]:
        return [Unread("rest", "what is left")]

    def count(self, reads: Reads, *, each: bool = False) -> Counted:
        return Counted(1, 1, {"rest": 1})


def facts(source: Any) -> list[Fact] | None:
    """What the profile of these tests names: a message says its kind."""
    if source.texts("kind") == ["?"]:
        return None
    if source.texts("kind") == ["!"]:
        raise BadMessage(code="unreadable")
    source.flags.append("read on")
    return [Fact(kind=kind, time=Moment(at=NOON)) for kind in source.texts("kind")]


class Connector:
    name, timezone, format, over, authority = "his", "UTC", None, None, ""

    def __init__(self, profile: Path, said: dict[str, Any] | None = None, **meaning: str) -> None:
        self.profile = profile
        self.meaning = meaning
        self._said = said

    def read(self, raw: Raw, _reads: Any = None) -> Any:
        if self._said is None:
            raise BadMessage(code="not_ours")
        return Group(self._said, raw.type)


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(sys.modules, "these_tests", sys.modules[__name__])
    for own in (Connector, facts):
        monkeypatch.setattr(own, "__module__", "these_tests")
    path = tmp_path / "profile.toml"
    path.write_text(PROFILE.format(function="these_tests:facts"))
    return path


def mapping(profile: Path, said: dict[str, Any] | None = None) -> Mapping:
    connector: Any = Connector(profile, said)
    return Mapping(connector)


def arrival(type: str = "", **more: Any) -> Arrival:
    return Arrival("m", b"", NOON, type=type, **more)


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([], None),
        ([{"number": ""}], None),
        ([{"number": "1"}], ("his", "1")),
        ([{"number": "1", "type": "AN"}, {"number": "2", "name": "HOSP", "type": "MR"}], ("HOSP", "2")),
        ([{"number": "1", "name": "", "universal": "1.2.3"}, {"number": "2"}], ("1.2.3", "1")),
    ],
)
def test_the_patient_is_the_preferred_number_else_the_first(profile: Path, ids: Any, expected: Any) -> None:
    found = mapping(profile, {"id": ids}).judge(arrival()).patient
    assert found == (PatientId(authority=expected[0], number=expected[1]) if expected else None)


@pytest.mark.parametrize(
    ("type", "prior", "code"), [("merge", "1", "self_merge"), ("merge", "2", ""), ("other", "1", "")]
)
def test_what_names_the_same_patient_twice_is_refused_where_the_profile_says_so(
    profile: Path, type: str, prior: str, code: str
) -> None:
    pair = {"id": [{"number": "1"}], "prior": [{"number": prior}]}
    judged = mapping(profile, {"id": [{"number": "1"}], "pair": [pair]}).judge(arrival(type, flags=("framing",)))
    assert (judged.code, judged.flags) == (code, ("framing", "odd"))


def test_what_the_connector_refuses_or_cannot_read_is_refused_unread(profile: Path) -> None:
    assert mapping(profile).judge(arrival()).code == "not_ours"
    judged = mapping(profile, {"id": [{"number": "1"}]}).judge(arrival(refusal="too_large", flags=("framing",)))
    assert (judged.code, judged.patient, judged.flags) == ("too_large", None, ("framing",))


def test_a_translation_holds_the_facts_what_nobody_read_and_the_flags_of_both_readers(profile: Path) -> None:
    raw = Raw("m", b"", NOON)
    said = mapping(profile, {"kind": "encounter.admitted"}).translate(raw)
    assert (said.mapped, [fact.kind for fact in said.facts]) == (True, ["encounter.admitted"])
    assert (said.unmapped, said.flags) == (["rest"], ["odd", "read on"])
    assert not mapping(profile, {}).translate(raw).mapped
    unknown = mapping(profile, {"kind": "?"}).translate(raw)
    assert (unknown.mapped, unknown.unmapped, unknown.flags) == (False, [], ["odd"])
    with pytest.raises(BadMessage):
        mapping(profile, {"kind": "!"}).translate(raw)


def test_what_is_withheld_says_nothing_and_why(profile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Group, "withheld", "not_production")
    said = mapping(profile, {"kind": "encounter.admitted"}).translate(Raw("m", b"", NOON))
    assert (said.mapped, said.status, said.facts, said.flags) == (False, "not_production", [], ["odd"])
    assert mapping(profile, {"id": [{"number": "1"}]}).judge(arrival()).patient is not None, "it has its place"


def test_a_number_without_authority_is_its_senders(profile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Group, "authority", "LAB")
    for said, authority in (({"number": "1"}, "LAB"), ({"number": "1", "name": "HOSP"}, "HOSP")):
        found = mapping(profile, {"id": [said]}).judge(arrival()).patient
        assert found == PatientId(authority=authority, number="1")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("these_tests:facts", "these_tests:nothing", "there is no these_tests:nothing"),
        ("these_tests:facts", "these_tests.gone:facts", "profile.toml:3: function: there is no these_tests.gone:facts"),
        ("these_tests:facts", "no_such_module:facts", "profile.toml:3: function: no_such_module:facts is of another"),
        ("these_tests:facts", "these_tests:invalidate_caches", "is no function that is written there"),
        ("these_tests:facts", "these tests", "function: "),
        ('name = "lines"', 'name = "lines"\nname_ = "x"', "name_: "),
        ('each = "pair"', "", "envelope.refuse.0.each: "),
        ("[envelope.patient]", "[envelope.patient", "profile.toml:5: it is not TOML"),
    ],
)
def test_what_is_wrong_with_a_profile_is_named(profile: Path, old: str, new: str, words: str) -> None:
    profile.write_text(profile.read_text().replace(old, new))
    with pytest.raises(ConfigError) as caught:
        mapping(profile)
    assert words in str(caught.value)


def test_a_profile_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.toml cannot be read"):
        read_profile(tmp_path / "gone.toml")


# --- the name ---------------------------------------------------------------------------------------------------------


class Vendor:
    """A vendor's package on the path, whose source can be changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "vendor"
        self.folder.mkdir()
        self.profile = folder / "profile.toml"
        self.profile.write_text(PROFILE.format(function="vendor.facts:facts"))
        for name, code in CODE.items():
            self.write(name, code)

    def write(self, module: str, code: str) -> None:
        lines = code.strip("\n").splitlines() or [""]
        margin = len(lines[0]) - len(lines[0].lstrip())
        (self.folder / f"{module}.py").write_text("\n".join(line[margin:] for line in lines) + "\n")
        invalidate_caches()

    def mapping(self, **meaning: str) -> Mapping:
        from vendor.reading import Connector as Theirs  # type: ignore[import-not-found]

        class Named(Theirs):  # type: ignore[misc]
            name, timezone, profile = "his", "UTC", self.profile
            format, over, authority = None, None, ""

        Named.meaning = meaning
        Named.__module__ = Theirs.__module__
        connector: Any = Named()
        return Mapping(connector)


@pytest.fixture
def vendor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
    monkeypatch.syspath_prepend(tmp_path)
    yield Vendor(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "vendor"]:
        del sys.modules[name]


def test_the_code_of_reader_compiler_and_function_counts_and_no_other(vendor: Vendor) -> None:
    made = vendor.mapping()
    own = [name for name in modules_of(made.profile, made.connector) if name.startswith("vendor")]
    assert own == ["vendor.facts", "vendor.format", "vendor.words"]
    assert "hisbus_mapping.compile" in modules_of(made.profile, made.connector)


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("facts", "return [Fact(", "return 2 * [Fact("),
        ("words", "admitted", "registered"),
        ("format", "self.flags = []", 'self.flags = ["odd"]'),
    ],
)
def test_a_change_of_code_is_another_mapping(vendor: Vendor, module: str, old: str, new: str) -> None:
    before = vendor.mapping().name
    changed = CODE[module].replace(old, new)
    assert changed != CODE[module]
    vendor.write(module, changed)
    assert vendor.mapping().name != before
    vendor.write(module, CODE[module])
    assert vendor.mapping().name == before


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("facts", "def facts(source):", 'def facts(source):  # a comment\n            """And a docstring."""'),
        ("facts", "from vendor.words import KIND", "from vendor.words import (\n            KIND,\n        )"),
        ("words", 'KIND = "encounter.admitted"', 'KIND = "encounter.admitted"\n"""What it says."""'),
        ("unused", "1", "2"),
    ],
)
def test_comments_docstrings_layout_and_other_modules_are_not(vendor: Vendor, module: str, old: str, new: str) -> None:
    before = vendor.mapping().name
    changed = CODE[module].replace(old, new)
    assert changed != CODE[module]
    vendor.write(module, changed)
    assert vendor.mapping().name == before


def test_every_setting_and_every_key_of_the_profile_counts(vendor: Vendor) -> None:
    names = {vendor.mapping().name, vendor.mapping(charset="utf-8").name, vendor.mapping(charset="gb18030").name}
    vendor.profile.write_text(vendor.profile.read_text().replace('"MR"', '"PI"'))
    names.add(vendor.mapping().name)
    assert len(names) == 4
    assert all(name.startswith("lines-") for name in names)


def test_code_whose_source_is_not_there_has_no_name(vendor: Vendor) -> None:
    made = vendor.mapping()
    (vendor.folder / "words.py").unlink()
    invalidate_caches()
    with pytest.raises(ConfigError, match=r"vendor\.words is not installed"):
        _ = made.name
