"""Apache Kafka in KRaft mode: one or several brokers, each its own controller, from the jars in ``ops/kafka/lib``."""

import base64
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hisbus_servers.process import Process, ServerError, kept_ports

JARS = Path(__file__).parents[3] / "kafka" / "lib"
"""Where Maven puts the broker (``ops/kafka/pom.xml``)."""

LARGEST = 50 * 1024 * 1024
"""Largest record that a broker takes, bytes: the largest of any topic of hisbus, with its headers."""

START_S = 60.0
"""Longest time that a broker gets to listen, seconds."""

_JVM = (
    "-Xmx512m", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-Djava.awt.headless=true", "-Dlog4j2.level=INFO",
    "-XX:TieredStopAtLevel=1",  # for its first minutes the optimizing compiler takes more of two cores than the broker
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files of a listener that asks its clients for a certificate."""

    keystore: Path
    """The broker's certificate and its key (PKCS 8: ``BEGIN PRIVATE KEY``)."""
    truststore: Path
    """The authority of the clients' certificates."""


@dataclass(frozen=True, slots=True)
class _Ports:
    plain: int
    controller: int
    sasl: int
    tls: int


class Kafka:
    """A cluster on 127.0.0.1. Brokers are numbered from 0, which is also their node id."""

    def __init__(
        self,
        folder: Path,
        brokers: int = 1,
        *,
        sasl: Mapping[str, str] | None = None,
        tls: TlsFiles | None = None,
        guarded: bool = False,
        jars: Path = JARS,
    ) -> None:
        """Keep data, logs (``kafka-N.log``) and ports in a folder, so that the same folder is the same cluster.

        Args:
            folder: made where it lacks.
            brokers: three of them replicate everything and need two to agree; a single one is alone.
            sasl: users and their passwords, for a second listener with SCRAM-SHA-256, SCRAM-SHA-512 and PLAIN.
            tls: for a third listener with TLS and client certificates.
            guarded: users of the other listeners may do what an ACL allows; those of the plain one everything.
            jars: where the broker's jars are.

        Raises:
            ServerError: the jars are not there.
        """
        if not any(jars.glob("kafka_*.jar")):
            raise ServerError(f"Kafka's jars are not in {jars}. `make jars` fetches them.")
        folder.mkdir(parents=True, exist_ok=True)
        ports = kept_ports(folder / "ports", 4 * brokers)
        self._ports = [_Ports(*ports[at : at + 4]) for at in range(0, len(ports), 4)]
        self._folder = folder
        self._sasl = dict(sasl or {})
        self._tls = tls
        self._guarded = guarded
        self._java = ("java", *_JVM, "-cp", f"{jars}/*")
        self._brokers = [
            Process([*self._java, "kafka.Kafka", str(self._properties(node))], folder / f"kafka-{node}.log")
            for node in range(brokers)
        ]

    @property
    def bootstrap(self) -> str:
        """``127.0.0.1:PORT,...`` without security."""
        return ",".join(f"127.0.0.1:{ports.plain}" for ports in self._ports)

    @property
    def sasl_bootstrap(self) -> str:
        """The same with SASL_PLAINTEXT."""
        return ",".join(f"127.0.0.1:{ports.sasl}" for ports in self._ports)

    @property
    def tls_bootstrap(self) -> str:
        """The same with TLS and client certificates."""
        return ",".join(f"127.0.0.1:{ports.tls}" for ports in self._ports)

    def start(self) -> None:
        """Start every broker and wait until each takes connections.

        Raises:
            ServerError: one of them did not; none is left running.
        """
        self._format()
        try:
            for broker in self._brokers:
                broker.start()
            for broker, ports in zip(self._brokers, self._ports, strict=True):
                broker.until_listening(ports.plain, START_S)
        except ServerError:
            self.stop()
            raise

    def stop(self) -> None:
        """Take every broker down: one in order; of several, those that cannot hand over are killed."""
        if len(self._brokers) == 1:
            self._brokers[0].stop()
        for broker in self._brokers:
            broker.kill()

    def start_broker(self, node: int) -> None:
        """Start a broker again, with its ports and its data.

        Raises:
            ServerError: it did not listen in time.
        """
        self._brokers[node].start()
        self._brokers[node].until_listening(self._ports[node].plain, START_S)

    def stop_broker(self, node: int) -> None:
        """Ask a broker to hand over its partitions and end."""
        self._brokers[node].stop()

    def kill(self, node: int) -> None:
        """Send SIGKILL to a broker."""
        self._brokers[node].kill()

    def pause(self, node: int) -> None:
        """Freeze a broker (SIGSTOP): its connections stay open and nothing answers."""
        self._brokers[node].pause()

    def resume(self, node: int) -> None:
        """Thaw a broker."""
        self._brokers[node].resume()

    def _properties(self, node: int) -> Path:
        return self._folder / f"kafka-{node}.properties"

    def _format(self) -> None:
        """Write the brokers' settings and prepare their folders, unless that was done before."""
        cluster = base64.urlsafe_b64encode(b"\0" + secrets.token_bytes(15)).decode()[:22]  # never begins with a dash
        users = [
            f"--add-scram={mechanism}=[name={user},password={password}]"
            for user, password in self._sasl.items()
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
        ]
        tools = []
        for node in range(len(self._brokers)):
            self._properties(node).write_text(self._settings(node))
            arguments = ("format", "--ignore-formatted", "-t", cluster, "-c", str(self._properties(node)), *users)
            command = [*self._java, "kafka.tools.StorageTool", *arguments]
            log = self._folder / f"kafka-{node}.log"
            tools.append(Process(command, log))
            tools[-1].start()
        for tool in tools:
            tool.until_ended()

    def _settings(self, node: int) -> str:
        """Return ``server.properties`` of a broker."""
        count = len(self._brokers)
        alike = min(3, count)
        own = self._ports[node]
        listeners = {"PLAINTEXT": own.plain, "CONTROLLER": own.controller}
        protocols = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT"}
        settings: dict[str, object] = {
            "process.roles": "broker,controller",
            "node.id": node,
            "log.dirs": self._folder / f"kafka-{node}",
            "controller.listener.names": "CONTROLLER",
            "controller.quorum.voters": _voters(self._ports),
            "inter.broker.listener.name": "PLAINTEXT",
            # The topics' own replication is said by who makes them.
            "auto.create.topics.enable": "false",
            "min.insync.replicas": 2 if count >= 3 else 1,
            "default.replication.factor": alike,
            "offsets.topic.replication.factor": alike,
            "transaction.state.log.replication.factor": alike,
            "transaction.state.log.min.isr": 2 if count >= 3 else 1,
            "share.coordinator.state.topic.replication.factor": alike,
            "share.coordinator.state.topic.min.isr": 2 if count >= 3 else 1,
            "offsets.topic.num.partitions": 8,
            "transaction.state.log.num.partitions": 2,
            "share.coordinator.state.topic.num.partitions": 2,
            "message.max.bytes": LARGEST,
            "replica.fetch.max.bytes": LARGEST,
            # A dead broker is noticed in 3 s instead of 9, a dead controller in 1 s instead of 2.
            "broker.session.timeout.ms": 3000,
            "broker.heartbeat.interval.ms": 500,
            "controller.quorum.fetch.timeout.ms": 1000,
            "controller.quorum.election.timeout.ms": 500,
            "controller.quorum.election.backoff.max.ms": 500,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1000,
            "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
        }
        if self._sasl:
            listeners["SASL"], protocols["SASL"] = own.sasl, "SASL_PLAINTEXT"
            settings |= _sasl(self._sasl)
        if self._tls:
            listeners["TLS"], protocols["TLS"] = own.tls, "SSL"
            settings |= _tls(self._tls)
        if self._guarded:
            settings["authorizer.class.name"] = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
            settings["super.users"] = "User:ANONYMOUS"
        settings["listeners"] = ",".join(f"{name}://127.0.0.1:{port}" for name, port in listeners.items())
        settings["listener.security.protocol.map"] = ",".join(f"{name}:{kind}" for name, kind in protocols.items())
        return "".join(f"{name}={value}\n" for name, value in settings.items())


def _voters(ports: Sequence[_Ports]) -> str:
    return ",".join(f"{node}@127.0.0.1:{own.controller}" for node, own in enumerate(ports))


def _sasl(users: Mapping[str, str]) -> dict[str, object]:
    known = " ".join(f'user_{user}="{password}"' for user, password in users.items())
    security = "org.apache.kafka.common.security"
    scram = f"{security}.scram.ScramLoginModule required;"
    return {
        "sasl.enabled.mechanisms": "SCRAM-SHA-256,SCRAM-SHA-512,PLAIN",
        "listener.name.sasl.scram-sha-256.sasl.jaas.config": scram,
        "listener.name.sasl.scram-sha-512.sasl.jaas.config": scram,
        "listener.name.sasl.plain.sasl.jaas.config": f"{security}.plain.PlainLoginModule required {known};",
    }


def _tls(files: TlsFiles) -> dict[str, object]:
    return {
        "listener.name.tls.ssl.client.auth": "required",
        "listener.name.tls.ssl.keystore.type": "PEM",
        "listener.name.tls.ssl.keystore.location": files.keystore,
        "listener.name.tls.ssl.truststore.type": "PEM",
        "listener.name.tls.ssl.truststore.location": files.truststore,
    }
