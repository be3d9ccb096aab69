"""What the environment says of adapters, for the settings."""

from __future__ import annotations

from ambit.config.env import env_int, env_str

# As high as the model servers' --max-lora-rank.
AMBIT_LORA_MAX_RANK = env_int("AMBIT_LORA_MAX_RANK", default=16, minimum=1, maximum=512)
# How often it is looked whether model servers still have the live ones, in seconds.
AMBIT_ADAPTERS_CHECK_S = env_int("AMBIT_ADAPTERS_CHECK_S", default=60, minimum=5)


def lora_base(model: str) -> str:
    """Return what adapters say they were trained for: the path or name in their adapter_config.json."""
    return env_str("AMBIT_LORA_BASE") or model


def adapters_dir(embedded: str) -> str:
    """Return the folder of weights, which lie open for model servers; empty: none are taken."""
    return env_str("AMBIT_ADAPTERS_DIR") or embedded


def adapters_dir_of_servers(ours: str) -> str:
    """Return the same folder as model servers see it."""
    return env_str("AMBIT_VLLM_ADAPTERS_DIR") or ours
