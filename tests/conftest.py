from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent))  # so that tests can import `strategies` under every import mode

# How long an example takes says how busy the machine is, and nothing about the code.
settings.register_profile("ostinato", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ostinato")
