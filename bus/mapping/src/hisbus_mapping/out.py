"""How write-backs leave: the fields that a profile decides, each said of one write-back."""

from collections.abc import Callable, Mapping

from hisbus import Format
from hisbus_mapping.context import Mistake
from hisbus_mapping.profile import Leaving, Profile
from hisbus_schemas import WriteBack

NOTICE = "QC"
"""Our word for the type of a write-back that is no document of its own: a notice of what was found."""

KNOWN: Mapping[str, Callable[[WriteBack], str]] = {
    "connector": lambda writeback: writeback.connector,
    "document": lambda writeback: writeback.document.code or NOTICE,
    "patient_class": lambda writeback: writeback.patient_class,
    "sex": lambda writeback: writeback.sex,
    "number_type": lambda writeback: writeback.number_type,
}
"""What is known of a write-back, by the words of the profile."""


def leaving(profile: Profile, format: Format) -> Callable[[WriteBack], WriteBack]:
    """Compile how write-backs leave.

    Raises:
        Mistake: names a field that no write-back of the format has, or what cannot stand in it.
    """
    readers = {field: _reader(said) for field, said in profile.out.items()}
    for field, said in profile.out.items():
        texts = (said.value,) if said.value is not None else (*said.words.values(), said.otherwise or "")
        try:
            for text in texts:
                format.leaves(field, text)
        except ValueError as error:
            raise Mistake(("out", field), str(error)) from error

    def leave(writeback: WriteBack) -> WriteBack:
        said = {field: read(writeback) for field, read in readers.items()}
        return writeback.model_copy(update={"out": said})

    return leave


def _reader(said: Leaving) -> Callable[[WriteBack], str]:
    if said.from_ is None:
        text = said.value or ""
        return lambda _writeback: text
    known, words, otherwise = KNOWN[said.from_], said.words, said.otherwise

    def read(writeback: WriteBack) -> str:
        word = known(writeback)
        return words.get(word, word if otherwise is None else otherwise)

    return read
