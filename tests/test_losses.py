"""What became of every reading of the corpus, against the committed table."""

from pathlib import Path

import pytest
from tests import losses


@pytest.mark.corpora
def test_no_reading_of_the_corpus_is_lost_and_the_table_is_current(corpora: Path) -> None:
    rows = losses.rows()
    assert [row.file for row in rows if row.lost] == []
    assert all(row.came == row.out + row.left for row in rows)
    assert losses.TABLE.read_text("utf-8") == losses.table(rows), (
        "python -m tests.losses writes it; read the difference"
    )
