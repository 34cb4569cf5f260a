from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from hisbus_servers import Postgres

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def server(server_folder: Path) -> Iterator[Postgres]:
    server = Postgres(server_folder / "postgres")
    server.start()
    yield server
    server.stop()


def test_what_was_committed_survives_a_kill(server: Postgres) -> None:
    server.create("kept")
    with psycopg.connect(server.url("kept"), autocommit=True) as connection:
        connection.execute("CREATE TABLE words (word text)")
        connection.execute("INSERT INTO words VALUES ('stored')")
        server.kill()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    server.start()
    with psycopg.connect(server.url("kept")) as connection:
        assert connection.execute("SELECT word FROM words").fetchall() == [("stored",)]
    server.drop("kept")


def test_a_frozen_server_answers_once_it_is_thawed(server: Postgres) -> None:
    with psycopg.connect(server.url()) as connection:
        server.pause()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(server.url(), connect_timeout=2)
        server.resume()
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_database_is_dropped_although_somebody_is_connected(server: Postgres) -> None:
    server.create("gone")
    with psycopg.connect(server.url("gone")):
        server.drop("gone")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.url("gone"))


def test_the_same_folder_is_the_same_server(server: Postgres, server_folder: Path) -> None:
    assert Postgres(server_folder / "postgres").url() == server.url()


def test_every_commit_reaches_the_disk(server: Postgres) -> None:
    with psycopg.connect(server.url()) as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("on",)
        assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
