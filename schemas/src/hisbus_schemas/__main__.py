"""``python -m hisbus_schemas FOLDER`` writes the JSON Schemas of what travels between parties, one file each."""

import json
import sys
from pathlib import Path

from pydantic import TypeAdapter

from hisbus_schemas import Assessed, Assessment, Chart, Charted, Coded, Decision, Event, Receipt, Translated, WriteBack

EXPORTED = (Assessed, Assessment, Chart, Charted, Coded, Decision, Event, Receipt, Translated, WriteBack)


def schemas() -> dict[str, str]:
    """Return the schemas by file name."""
    return {
        f"{model.__name__.lower()}.v1.json": json.dumps(
            TypeAdapter(model).json_schema(), indent=1, sort_keys=True, ensure_ascii=False
        )
        + "\n"
        for model in EXPORTED
    }


if __name__ == "__main__":
    for name, text in schemas().items():
        (Path(sys.argv[1]) / name).write_text(text, encoding="utf-8")
