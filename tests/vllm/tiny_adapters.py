"""Make LoRA adapters for the tiny model with peft: `python tiny_adapters.py MODEL FOLDER`.

Runs in the vLLM environment, which alone has peft. Random weights, large enough that each adapter's
answers differ from the model's own and from the other's.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaForCausalLM

RANK = 8
MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
ADAPTERS = {"a": 11, "b": 23}


def build(model_dir: Path, folder: Path) -> None:
    """Write each adapter into a folder of its own name."""
    for name, seed in ADAPTERS.items():
        torch.manual_seed(seed)
        base = LlamaForCausalLM.from_pretrained(model_dir)
        config = LoraConfig(r=RANK, lora_alpha=16, target_modules=MODULES, task_type="CAUSAL_LM")
        adapted = get_peft_model(base, config)
        with torch.no_grad():
            for key, weights in adapted.named_parameters():
                if "lora_" in key:
                    weights.normal_(std=0.2)
        adapted.save_pretrained(folder / name)


if __name__ == "__main__":
    build(Path(sys.argv[1]), Path(sys.argv[2]))
