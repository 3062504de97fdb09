"""Our gateway with the policies that most have: API keys, a limit of the rate, weighted routing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import models, servers
from tests.bench.servers import Server

if TYPE_CHECKING:
    from tests.bench.suite import Setting

# No request is refused: what is measured is what it costs to ask.
_MORE = """
[plugins]
use = ["api_keys", "limits", "routing"]
[plugins.settings.api_keys]
file = "{folder}/keys.db"
pepper_file = "{folder}/pepper"
[[plugins.settings.limits.rules]]
name = "principals"
per = "principal"
rate = 1000000
burst = 1000000
[[plugins.settings.routing.rules]]
name = "fraud"
match = {{ models = ["fraud"] }}
sticky = "principal"
arms = [{{ model = "fraud", version = 1, weight = 95 }}, {{ model = "fraud", version = 1, weight = 5 }}]
"""


@contextmanager
def gateway(setting: Setting) -> Generator[Server]:
    """The gateway over the same repository as without them; asks for a key in `authorization`."""
    repository, folder, headers = _prepared(setting)
    more, cpus = _MORE.format(folder=folder.absolute()), setting.server_cpus
    with servers.gateway(
        repository, cpus=cpus, more=more, root=setting.root, flags=(), headers=headers
    ) as running:
        yield running


@contextmanager
def bare(setting: Setting) -> Generator[Server]:
    """The gateway without plugins, sent the same requests: a header more is read by either."""
    repository, _, headers = _prepared(setting)
    with servers.gateway(repository, cpus=setting.server_cpus, root=setting.root, headers=headers) as running:
        yield running


def _prepared(setting: Setting) -> tuple[Path, Path, dict[str, str]]:
    """The repository, the folder of the keys, and the headers of a caller who has one."""
    repository, folder = setting.folder / "gateway", setting.folder / "keys"
    if not repository.exists():
        models.write_gateway_repository(repository, inline=False)
    folder.mkdir(exist_ok=True)
    return repository, folder, {"authorization": f"Bearer {_key(folder)}"}


def _key(folder: Path) -> str:
    """A new key, made as an operator makes it."""
    files = ("--store", str(folder / "keys.db"), "--pepper-file", str(folder / "pepper"))
    command = [sys.executable, "-m", "gateway", "keys", "create", *files]
    command += ["--owner", "load", "--grant", "infer:*"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
    return done.stdout.strip()
