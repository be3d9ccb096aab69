"""What the environment says of model servers, and of how much may be asked of them, for the settings."""

from __future__ import annotations

from pathlib import Path

from ambit.config.env import InvalidSetting, env_int, env_str, env_urls

# One server, or several replicas of it; tenants are spread over them.
AMBIT_VLLM_URL = env_urls("AMBIT_VLLM_URL")
AMBIT_VLLM_KEY = env_str("AMBIT_VLLM_KEY")
AMBIT_VLLM_MODEL = env_str("AMBIT_VLLM_MODEL")
if AMBIT_VLLM_URL and not AMBIT_VLLM_MODEL:
    raise InvalidSetting(
        "Set AMBIT_VLLM_MODEL to the name that the vLLM server at AMBIT_VLLM_URL serves"
    )
AMBIT_VLLM_TIMEOUT_S = env_int("AMBIT_VLLM_TIMEOUT_S", default=120, minimum=1)
# How long after its end a stream waits for whoever reads it slowly, or never.
AMBIT_STREAM_READ_S = env_int("AMBIT_STREAM_READ_S", default=60, minimum=1)
# Where adapters are loaded and caches emptied: each replica itself, never a router before them.
AMBIT_VLLM_ADMIN_URL = env_urls("AMBIT_VLLM_ADMIN_URL") or AMBIT_VLLM_URL
AMBIT_VLLM_ADMIN_KEY = env_str("AMBIT_VLLM_ADMIN_KEY") or AMBIT_VLLM_KEY
# The served model's tokenizer.json and context, by which prompts are fitted.
AMBIT_VLLM_TOKENIZER = env_str("AMBIT_VLLM_TOKENIZER")
if AMBIT_VLLM_TOKENIZER and not Path(AMBIT_VLLM_TOKENIZER).is_file():
    raise InvalidSetting(
        f"AMBIT_VLLM_TOKENIZER must be the path of a tokenizer.json; there is no file {AMBIT_VLLM_TOKENIZER}"
    )
AMBIT_VLLM_CONTEXT = env_int("AMBIT_VLLM_CONTEXT", default=8192, minimum=2048)
# Among whom the model server's prefix cache is shared.
AMBIT_CACHE_SCOPE = env_str("AMBIT_CACHE_SCOPE", "tenant")
if AMBIT_CACHE_SCOPE not in {"tenant", "audiences", "member"}:
    raise InvalidSetting(
        f"AMBIT_CACHE_SCOPE must be tenant, audiences or member; it is {AMBIT_CACHE_SCOPE!r}"
    )
# How many requests are at work on the model at once, of all web processes together (0: as many as come),
# and how long one more waits for a place.
AMBIT_VLLM_CONCURRENCY = env_int("AMBIT_VLLM_CONCURRENCY", default=64, maximum=10_000)
AMBIT_VLLM_QUEUE_S = env_int("AMBIT_VLLM_QUEUE_S", default=20, minimum=1, maximum=600)
# What a tenant may ask for where the operator set nothing of its own for it; 0: as much as it wants.
AMBIT_REQUESTS_PER_MINUTE = env_int("AMBIT_REQUESTS_PER_MINUTE", default=0, maximum=1_000_000)
AMBIT_MEMBER_REQUESTS_PER_MINUTE = env_int(
    "AMBIT_MEMBER_REQUESTS_PER_MINUTE", default=0, maximum=1_000_000
)
AMBIT_TOKENS_PER_MONTH = env_int("AMBIT_TOKENS_PER_MONTH", default=0, maximum=10**15)
# For how long each single use is kept; the sums of its day are kept on.
AMBIT_USES_DAYS = env_int("AMBIT_USES_DAYS", default=90, minimum=1, maximum=3650)
