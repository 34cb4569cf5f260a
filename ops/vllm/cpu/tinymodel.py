"""A tiny chat model (Qwen2) with random weights, and adapters for it: what they say means nothing.

Run by the interpreter of ``.venv-vllm``: ``python tinymodel.py FOLDER [ADAPTER ...]`` makes ``FOLDER/base`` and
``FOLDER/ADAPTER``. The same each time, in two seconds, from nothing: no network, no weights of others.
"""

import json
import random
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

HIDDEN, LAYERS, HEADS, KV_HEADS, INNER = 256, 4, 4, 2, 512
HEAD = HIDDEN // HEADS
CONTEXT = 8192
RANK = 8
PROJECTIONS = {
    "q_proj": (HEADS * HEAD, HIDDEN),
    "k_proj": (KV_HEADS * HEAD, HIDDEN),
    "v_proj": (KV_HEADS * HEAD, HIDDEN),
    "o_proj": (HIDDEN, HEADS * HEAD),
}
END, START, STOP = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CHINESE = (
    "患者 主诉 现病史 既往史 体格检查 今日 查房 胸痛 较前 缓解 继续 观察 发热 咳嗽 腹痛 无 有 压痛 切口 敷料 干燥"
    " 生命体征 平稳 入院 出院 手术 诊断 病历 记录 医嘱 血压 心率 体温 复查 治疗 心肌梗死 高血压 糖尿病 肺炎 ， 。 、 ："
).split()

Weights = dict[str, NDArray[np.float32]]


def build(folder: Path) -> None:
    """Write a model that a server can load."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = trained()
    tokenizer.save(str(folder / "tokenizer.json"))
    stop, end = tokenizer.token_to_id(STOP), tokenizer.token_to_id(END)
    vocabulary = -(-tokenizer.get_vocab_size() // 64) * 64
    settings: Mapping[str, Mapping[str, Any]] = {
        "tokenizer_config": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": STOP,
            "pad_token": END,
            "model_max_length": CONTEXT,
            "clean_up_tokenization_spaces": False,
            "chat_template": TEMPLATE,
        },
        "generation_config": {"eos_token_id": stop, "pad_token_id": end},
        "config": {
            "architectures": ["Qwen2ForCausalLM"],
            "model_type": "qwen2",
            "vocab_size": vocabulary,
            "hidden_size": HIDDEN,
            "intermediate_size": INNER,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "num_key_value_heads": KV_HEADS,
            "max_position_embeddings": CONTEXT,
            "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0,
            "hidden_act": "silu",
            "tie_word_embeddings": True,
            "use_sliding_window": False,
            "torch_dtype": "float32",
            "eos_token_id": stop,
            "pad_token_id": end,
        },
    }
    for name, said in settings.items():
        (folder / f"{name}.json").write_text(json.dumps(said, indent=1))
    save_file(weights(vocabulary), str(folder / "model.safetensors"), metadata={"format": "pt"})


def adapter(folder: Path, seed: int) -> None:
    """Write a LoRA adapter. Its weights are large on purpose: whoever asks it hears something else."""
    folder.mkdir(parents=True, exist_ok=True)
    said = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": RANK,
        "lora_alpha": 8 * RANK,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": list(PROJECTIONS),
        "base_model_name_or_path": "tiny",
    }
    (folder / "adapter_config.json").write_text(json.dumps(said))
    drawn = np.random.default_rng(seed)
    tensors: Weights = {}
    for layer in range(LAYERS):
        for name, (rows, columns) in PROJECTIONS.items():
            at = f"base_model.model.model.layers.{layer}.self_attn.{name}.lora_"
            tensors[f"{at}A.weight"] = (drawn.standard_normal((RANK, columns)) * 0.5).astype(np.float32)
            tensors[f"{at}B.weight"] = (drawn.standard_normal((rows, RANK)) * 0.5).astype(np.float32)
    save_file(tensors, str(folder / "adapter_model.safetensors"))


def trained() -> Tokenizer:
    """Return a tokenizer that shortens English and Chinese about as much as a real one."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=8192,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
        special_tokens=[END, START, STOP],
    )
    tokenizer.train_from_iterator(lines(random.Random(0)), trainer)  # noqa: S311 - the same each time
    return tokenizer


def lines(chance: random.Random) -> Iterator[str]:
    """Return what the tokenizer reads: English as Python's manual has it, made-up Chinese, JSON."""
    for topic in topics.values():
        yield from topic.splitlines()
    for _ in range(4000):
        yield "".join(chance.choices(CHINESE, k=12))
        yield json.dumps({"type": "object", "maxLength": chance.randint(1, 2000)}, separators=(",", ":"))


def weights(vocabulary: int) -> Weights:
    """Return the tensors of the model."""
    drawn = np.random.default_rng(0)

    def normal(*shape: int) -> NDArray[np.float32]:
        return (drawn.standard_normal(shape) * 0.02).astype(np.float32)

    one = np.ones(HIDDEN, np.float32)
    tensors: Weights = {"model.embed_tokens.weight": normal(vocabulary, HIDDEN), "model.norm.weight": one}
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        for name, (rows, columns) in PROJECTIONS.items():
            tensors[f"{at}self_attn.{name}.weight"] = normal(rows, columns)
            if name != "o_proj":
                tensors[f"{at}self_attn.{name}.bias"] = np.zeros(rows, np.float32)
        tensors |= {
            f"{at}mlp.gate_proj.weight": normal(INNER, HIDDEN),
            f"{at}mlp.up_proj.weight": normal(INNER, HIDDEN),
            f"{at}mlp.down_proj.weight": normal(HIDDEN, INNER),
            f"{at}input_layernorm.weight": one,
            f"{at}post_attention_layernorm.weight": one,
        }
    return tensors


if __name__ == "__main__":
    root = Path(sys.argv[1])
    build(root / "base")
    for seed, name in enumerate(sys.argv[2:], 1):
        adapter(root / name, seed)
