"""``python -m hisbus_mapping FILE`` writes the JSON Schema of profiles, by which editors check a file while typing."""

import json
import sys
from pathlib import Path

from hisbus_mapping.profile import Profile


def schema() -> str:
    """Return the schema of a whole profile; a site's file, which is laid over one, may leave out what is required."""
    said = {**Profile.model_json_schema(by_alias=True), "title": "A profile: what the messages of one source mean"}
    return json.dumps(said, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(schema(), encoding="utf-8")
