"""Character sets: the names of HL7 table 0211, and the spellings found in the field, as Python codecs."""

import re

_NAMES = {
    "ascii": "ASCII, US-ASCII, ISO IR6, ISO 646",
    "iso8859-1": "8859/1, ISO 8859-1, LATIN1",
    "iso8859-2": "8859/2, ISO 8859-2",
    "iso8859-3": "8859/3, ISO 8859-3",
    "iso8859-4": "8859/4, ISO 8859-4",
    "iso8859-5": "8859/5, ISO 8859-5",
    "iso8859-6": "8859/6, ISO 8859-6",
    "iso8859-7": "8859/7, ISO 8859-7",
    "iso8859-8": "8859/8, ISO 8859-8",
    "iso8859-9": "8859/9, ISO 8859-9",
    "iso8859-15": "8859/15, ISO 8859-15",
    "cp1252": "WINDOWS-1252, CP1252, ANSI",
    "gb18030": "GB 18030-2000, GB18030, GB 18030-2005, GB 18030-2022, GBK, GB2312, GB 2312-80, CP936, EUC-CN",
    "cp950": "BIG-5, BIG5, CP950",
    "euc_kr": "KS X 1001, KSC5601, EUC-KR",
    "iso2022_jp_2": "ISO IR14, ISO IR87, ISO IR159, JIS X 0202, ISO-2022-JP",
    "utf-8": "UNICODE UTF-8, UTF-8, UTF8, UNICODE, UNICODE UTF8, ISO 10646 UTF-8",
}
"""Codec to names. The first name of each is the one of table 0211; it is what we send."""


def _plain(name: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", name.upper())


_CODECS = {_plain(name): codec for codec, names in _NAMES.items() for name in names.split(", ")}
_HL7 = {codec: names.split(", ")[0] for codec, names in _NAMES.items()}
_WIDE = re.compile(r"^(UNICODE|ISO10646)?(UTF|UCS)(16|32|2|4)(LE|BE)?$")


def codec(name: str) -> str | None:
    """Return the Python codec for a name in MSH-18 or in the configuration; None where it is not known."""
    return _CODECS.get(_plain(name))


def hl7_name(codec: str) -> str:
    """Return what table 0211 calls a codec."""
    return _HL7[codec]


def is_wide(name: str) -> bool:
    """Tell whether a name means UTF-16 or UTF-32, whose bytes MLLP cannot frame."""
    return _WIDE.match(_plain(name)) is not None
