"""The text of an attachment: what the profile cannot say."""

import base64
import re
from typing import Any

from hisbus import BadMessage
from hisbus_fhir.bundle import Group

_CHARSET = re.compile(r"charset\s*=\s*\"?([A-Za-z0-9_.:-]+)", re.IGNORECASE)


def text(group: Group, _run: Any) -> str:
    """Return the text that an attachment holds in base64, in the character set that its type names, else UTF-8.

    Raises:
        BadMessage: it is no text of that character set. A part of a text is none.
    """
    attachment = group.node["attachment"]
    named = _CHARSET.search(attachment.get("contentType", ""))
    try:
        data = base64.b64decode("".join(attachment.get("data", "").split()), validate=True)
        return data.decode(named[1] if named else "utf-8").replace("\r\n", "\n").strip()
    except (ValueError, LookupError):
        raise BadMessage("An attachment is no text of the character set that it names.", code="not_text") from None
