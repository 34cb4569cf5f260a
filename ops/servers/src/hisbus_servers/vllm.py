"""vLLM on this machine's CPU, with a tiny model of random weights, from a virtual environment of its own.

What it says means nothing; how it says it is a real vLLM's: forms, errors, adapters, priorities, its cache.
"""

import http.client
import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

from hisbus_servers.process import Process, ServerError, kept_ports

PYTHON = Path(__file__).parents[4] / ".venv-vllm" / "bin" / "python"
"""The interpreter that has vLLM (``make .venv-vllm/.ready``)."""

PROGRAMS = Path(__file__).parents[3] / "vllm" / "cpu"
"""What that interpreter runs."""

MODEL = "tiny"
ADAPTERS = ("tiny-a", "tiny-b")
CONTEXT = 8192
"""Tokens of prompt and answer together."""
AT_A_TIME = 8
"""Requests that it works on together; the others queue."""
QUEUE = 64
"""Requests that it takes in all; more are refused."""
START_S = 180.0
"""Longest time that it gets to answer, seconds. It needs some 20."""

CONTRACT = (
    "--structured-outputs-config", '{"backend":"guidance","disable_any_whitespace":true}',
    "--scheduling-policy", "priority",
    "--max-num-queued-reqs", str(QUEUE),
    "--enable-prefix-caching",
    "--enable-prompt-tokens-details",
    "--enable-request-id-headers",
)  # fmt: skip
"""What hisbus rests on, alike in production (``ops/vllm/compose.yaml``)."""

_MACHINE = (
    "--dtype", "float32",
    "--enforce-eager",  # compiling takes longer than everything that is asked
    "--distributed-executor-backend", "uni",
    "--kv-cache-memory-bytes", "256M",
    "--block-size", "32",  # as finely as a GPU shares the beginning of prompts
    "--max-model-len", str(CONTEXT),
    "--max-num-seqs", str(AT_A_TIME),
)  # fmt: skip

_ENVIRONMENT = {
    # Nothing is looked for elsewhere, and nobody is told.
    "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1",
    # One process and one thread for the model: half the memory, and steadier on a few cores than its default.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1",
    "TORCHDYNAMO_DISABLE": "1",
}  # fmt: skip


class Vllm:
    """One server, which serves ``MODEL`` and its ``ADAPTERS``."""

    def __init__(self, folder: Path, *, contract: Sequence[str] = CONTRACT, python: Path = PYTHON) -> None:
        """Keep model, log (``vllm.log``), key and port in a folder, so that the same folder is the same server.

        Args:
            folder: made where it lacks.
            contract: flags to start it with instead of those that hisbus rests on.
            python: the interpreter that has vLLM.

        Raises:
            ServerError: vLLM is not installed.
        """
        if not python.exists():
            raise ServerError(f"There is no {python}. `make .venv-vllm/.ready` installs vLLM.")
        folder.mkdir(parents=True, exist_ok=True)
        (self._port,) = kept_ports(folder / "ports", 1)
        self.key_file = folder / "key"
        """Holds the key that it asks for."""
        if not self.key_file.exists():
            self.key_file.write_text(secrets.token_urlsafe())
        self.python = python
        self._folder = folder
        base, *adapters = (folder / name for name in ("base", *ADAPTERS))
        command = [
            *(str(python), str(PROGRAMS / "serve.py"), "serve", str(base), "--served-model-name", MODEL),
            *("--host", "127.0.0.1", "--port", str(self._port), *_MACHINE, *contract),
            *("--enable-lora", "--max-lora-rank", "8", "--max-loras", str(len(adapters))),
            *("--lora-modules", *(f"{path.name}={path}" for path in adapters)),
        ]
        self.log = folder / "vllm.log"
        """What it says of itself."""
        self._server = Process(command, self.log)

    @property
    def url(self) -> str:
        """Its address; the same after a restart."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """The process that listens; the model is held by a child of it."""
        return self._server.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._server.running

    def start(self) -> None:
        """Start it, also after :meth:`kill`, and wait until it answers.

        Raises:
            ServerError: it did not.
        """
        if not (self._folder / "base" / "model.safetensors").exists():
            self._make()
        self._server.start(os.environ | _ENVIRONMENT | {"VLLM_API_KEY": self.key_file.read_text()})
        deadline = time.monotonic() + START_S
        while not self._healthy():
            if not self._server.running or time.monotonic() > deadline:
                self._server.kill()
                raise self._server.failed("vLLM does not answer")
            time.sleep(0.1)

    def stop(self) -> None:
        """End it in order."""
        self._server.stop()

    def kill(self) -> None:
        """Send SIGKILL to it."""
        self._server.kill()

    def pause(self) -> None:
        """Freeze it (SIGSTOP): connections stay open and nothing answers."""
        self._server.pause()

    def resume(self) -> None:
        """Thaw it."""
        self._server.resume()

    def _healthy(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == http.client.OK
        except OSError:
            return False
        finally:
            connection.close()

    def _make(self) -> None:
        command = [str(self.python), str(PROGRAMS / "tinymodel.py"), str(self._folder), *ADAPTERS]
        maker = Process(command, self._folder / "model.log")
        maker.start()
        maker.until_ended()
