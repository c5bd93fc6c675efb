"""What Prefect reads from the environment as soon as it is imported: import this module before it."""

import os
from typing import Final

VARIABLES: Final = {
    # telemetry would wait for a network that a night may not have
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # a busy machine takes longer than the 20 s that Prefect would wait for its own server
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "300",
}

for name, value in VARIABLES.items():
    os.environ.setdefault(name, value)
