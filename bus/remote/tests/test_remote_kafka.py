"""A vendor's user on a Kafka that guards its topics: the rights that plugins/README.md names are enough, and needed."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from hisbus.agent import Case
from hisbus.errors import ConfigError
from hisbus.testing import make_case, make_chart, make_document
from hisbus_bus.host.remote import RemoteHost
from hisbus_bus.host.wire import KafkaWire
from hisbus_bus.kernel import topics
from hisbus_bus.kernel.log.kafka_cluster import Cluster
from hisbus_bus.kernel.settings import LogSettings, Settings
from hisbus_remote import serve
from hisbus_schemas import Assessment
from hisbus_servers.kafka import Kafka

pytestmark = pytest.mark.kafka

USERS = {"brevity": "its own", "stranger": "another"}


class Agent:
    name, version = "brevity", "1"
    kinds, grants = frozenset({"document.filed"}), frozenset({"documents"})

    async def assess(self, case: Case) -> Assessment:
        return Assessment(evaluated=frozenset(str(len(note.text)) for note in case.chart.documents))


@pytest.fixture(scope="module")
def guarded(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A broker that lets nobody do what no rule allows."""
    made = Kafka(tmp_path_factory.mktemp("guarded"), sasl=USERS, guarded=True)
    made.start()
    yield made
    made.stop()


@pytest.fixture
async def site(guarded: Kafka) -> str:
    name = f"guarded-{uuid4().hex[:8]}"
    await Cluster(ours(guarded), name, ["brevity"]).apply()
    await asyncio.to_thread(allow, guarded, name)
    return name


def ours(kafka: Kafka) -> LogSettings:
    return LogSettings(url=f"kafka://{kafka.bootstrap}", durability="single-broker", partitions=2)


def theirs(kafka: Kafka, folder: Path, user: str) -> LogSettings:
    password = folder / user
    password.write_text(USERS[user])
    how = {"sasl_mechanism": "SCRAM-SHA-512", "sasl_user": user, "sasl_password_file": password}
    return LogSettings(url=f"kafka://{kafka.sasl_bootstrap}", **how)


def allow(kafka: Kafka, site: str) -> None:
    """Give the vendor's user the three rights."""
    rules = (
        (ResourceType.TOPIC, topics.agent_topic(site, "brevity", "cases"), AclOperation.READ),
        (ResourceType.TOPIC, topics.agent_topic(site, "brevity", "answers"), AclOperation.WRITE),
        (ResourceType.GROUP, topics.agent_group(site, "brevity"), AclOperation.READ),
    )
    literal, may = ResourcePatternType.LITERAL, AclPermissionType.ALLOW
    bindings = [AclBinding(kind, name, literal, "User:brevity", "*", does, may) for kind, name, does in rules]
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    for future in admin.create_acls(bindings).values():
        future.result(timeout=30)


@asynccontextmanager
async def asking(kafka: Kafka, site: str) -> AsyncIterator[RemoteHost]:
    table = {"brevity": {"kinds": ["document.filed"], "grants": ["documents"]}}
    reads, writes = (topics.agent_topic(site, "brevity", side) for side in ("answers", "cases"))
    wire = KafkaWire(ours(kafka), reads=reads, writes=writes, group=None)
    host = RemoteHost("brevity", Settings(site=site, remote=table), "0123abcd", wire)
    await host.start()
    yield host
    await host.close()


async def test_the_rights_that_are_named_are_enough_also_for_a_large_case(
    guarded: Kafka, site: str, tmp_path: Path
) -> None:
    async with asking(guarded, site) as host:
        serving = asyncio.create_task(serve(Agent(), site=site, log=theirs(guarded, tmp_path, "brevity")))
        for size in (10, 3_000_000):
            case = make_case(make_chart(documents=[make_document("C0038", "x" * size)]))
            assert (await host.assess("brevity", case, 60)).evaluated == {str(size)}
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def test_another_user_cannot_stand_in_for_the_vendor(guarded: Kafka, site: str, tmp_path: Path) -> None:
    async with asking(guarded, site) as host:
        with pytest.raises(ConfigError, match="sasl"):
            async with asyncio.timeout(60):
                await serve(Agent(), site=site, log=theirs(guarded, tmp_path, "stranger"))
        assert host.state == "starting"
