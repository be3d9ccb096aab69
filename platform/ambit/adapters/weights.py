"""Tell whether two files are a LoRA adapter that this installation serves; pure, and nothing is loaded.

A safetensors file is the length of a header, the header as JSON, and numbers: nothing in it runs. A pickle is
refused by not being one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any

MAX_HEADER_BYTES = 4 << 20
MAX_CONFIG_BYTES = 64 << 10
MAX_MODULES = 64
_BYTES_OF = {"F32": 4, "F16": 2, "BF16": 2}
_MODULE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_TENSOR = re.compile(
    r"base_model\.model\.(?:[A-Za-z0-9_]{1,64}\.){1,12}lora_(?P<half>[AB])\.weight"
)


class AdapterFileRefused(ValueError):
    """A file is not one of an adapter that is served here; carries which and a sentence of ours."""

    def __init__(self, file: str, words: str) -> None:
        super().__init__(words)
        self.file = file
        self.words = words


@dataclass(frozen=True, slots=True)
class LoraConfig:
    """What is kept of an adapter_config.json: a model server is given this and nothing else of it."""

    base: str
    rank: int
    alpha: float
    modules: tuple[str, ...]
    use_rslora: bool

    def as_json(self) -> bytes:
        """Return the file that model servers read."""
        said = {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": self.base,
            "r": self.rank,
            "lora_alpha": self.alpha,
            "target_modules": list(self.modules),
            "use_rslora": self.use_rslora,
            "bias": "none",
            "inference_mode": True,
        }
        return json.dumps(said, indent=2).encode()


def read_config(data: bytes, *, base: str, max_rank: int) -> LoraConfig:
    """Return what an adapter_config.json says; raise AdapterFileRefused."""
    said = _object(data if len(data) <= MAX_CONFIG_BYTES else b"", "config")
    if said.get("peft_type") != "LORA":
        raise _config("`peft_type` must be LORA.")
    if not base or said.get("base_model_name_or_path") != base:
        raise _config("`base_model_name_or_path` is not the model that is served here.")
    rank = said.get("r")
    if not isinstance(rank, int) or isinstance(rank, bool) or not 1 <= rank <= max_rank:
        raise _config(f"`r` must be a whole number from 1 to {max_rank}.")
    alpha = said.get("lora_alpha")
    if not isinstance(alpha, int | float) or isinstance(alpha, bool) or not 0 < alpha <= 65536:
        raise _config("`lora_alpha` must be a positive number.")
    modules = said.get("target_modules")
    if (
        not isinstance(modules, list)
        or not 1 <= len(modules) <= MAX_MODULES
        or not all(isinstance(m, str) and _MODULE.fullmatch(m) for m in modules)
    ):
        raise _config("`target_modules` must be a list of modules' names, such as q_proj.")
    _require_plain(said)
    return LoraConfig(
        base=base,
        rank=rank,
        alpha=alpha,
        modules=tuple(sorted(set(modules))),
        use_rslora=said.get("use_rslora") is True,
    )


def check_tensors(file: IO[bytes], *, size: int, config: LoraConfig) -> None:
    """Read a safetensors file's header alone; raise AdapterFileRefused where it is none, or not the config's."""
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
        raise _weights("This is no safetensors file. Pickled weights (.bin, .pt) are never read.")
    tensors = _object(file.read(length), "weights")
    tensors.pop("__metadata__", None)
    if not tensors:
        raise _weights("There is no tensor in it.")
    spans = sorted(_span(name, entry, config) for name, entry in tensors.items())
    ends = [0, *(end for _, end in spans)]
    # Back to back, from the header to the file's end: no byte that no tensor accounts for.
    if [begin for begin, _ in spans] != ends[:-1] or 8 + length + ends[-1] != size:
        raise _weights("Its tensors do not fill the file: it is cut off or was altered.")


def _span(name: str, entry: Any, config: LoraConfig) -> tuple[int, int]:
    """Return where a tensor begins and ends behind the header."""
    found = _TENSOR.fullmatch(name)
    if found is None or name.split(".")[-3] not in config.modules:
        raise _weights("It holds other tensors than lora_A and lora_B of the target modules.")
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise _weights("Its header is not that of a safetensors file.")
    shape, offsets = entry["shape"], entry["data_offsets"]
    pairs = all(
        isinstance(pair, list) and len(pair) == 2 and all(map(_is_whole, pair))
        for pair in (shape, offsets)
    )
    if not pairs or entry["dtype"] not in _BYTES_OF:
        raise _weights("Its tensors must be matrices of F32, F16 or BF16.")
    if shape[0 if found["half"] == "A" else 1] != config.rank:
        raise _weights("Its tensors are not of the rank that adapter_config.json says.")
    n_bytes = shape[0] * shape[1] * _BYTES_OF[entry["dtype"]]
    if offsets[1] - offsets[0] != n_bytes or n_bytes == 0:
        raise _weights("Its tensors' places do not fit their shapes.")
    return offsets[0], offsets[1]


def _require_plain(said: Mapping[str, Any]) -> None:
    """Refuse what would make it other than two small matrices beside each target module."""
    for name in (
        "modules_to_save", "auto_mapping", "layer_replication", "rank_pattern", "alpha_pattern", "megatron_config",
        "use_dora", "use_qalora", "use_bdlora", "lora_bias", "fan_in_fan_out", "trainable_token_indices",
        "alora_invocation_tokens", "target_parameters", "layers_to_transform", "exclude_modules",
    ):  # fmt: skip
        if said.get(name):
            raise _config(f"`{name}` is not served here: leave it out.")
    if said.get("bias", "none") != "none":
        raise _config("`bias` must be none.")


def _object(data: bytes, file: str) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise AdapterFileRefused(file, "It cannot be read as JSON.") from error
    if not isinstance(found, dict):
        raise AdapterFileRefused(file, "It must be a JSON object.")
    return found


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _config(words: str) -> AdapterFileRefused:
    return AdapterFileRefused("config", words)


def _weights(words: str) -> AdapterFileRefused:
    return AdapterFileRefused("weights", words)
