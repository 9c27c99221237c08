"""The laptop world with an agent that vLLM's CPU build can load: a Qwen2 of the same vocabulary.

(The base agent is an LFM2, which that build cannot start.) It is taught on the world's
demonstrations, as the base agent is, for long enough to search and to answer.
"""

import shutil
from pathlib import Path

import torch
import yaml
from label_world import REPO
from transformers import Qwen2Config, Qwen2ForCausalLM

from stages import candidates, corpus, correctness, index, questions, trajectories
from stages.language.lessons import agent_lessons
from stages.language.supervised import Recipe, train
from stages.language.tokenizer import make_tokenizer, world_texts

SEARCHER = {"agent": "agent", "retriever": "agent", "index": "index"}  # BM25 asks no encoder
SEARCHER |= {"passages": "data/passages.jsonl"}
FILES = {
    trajectories: SEARCHER | {"questions": "data/questions/train.jsonl"},
    candidates: SEARCHER | {"trajectories": "trajectories.jsonl"},
    correctness: SEARCHER
    | {name: f"{name}.jsonl" for name in ("trajectories", "candidates", "relevance")},
}


def write_world(folder: Path, steps: int) -> None:
    """Corpus, questions, BM25 index and agent in `folder`, which must be the working folder."""
    shutil.copy(REPO / "params.yaml", folder)
    corpus.main(["--output", "data"])
    questions.main(["--corpus", "data", "--output", "data/questions"])
    files = {"passages": SEARCHER["passages"], "output": "index", "metrics": "index.json"}
    index.main(["--bm25", *_flags(files)])
    write_agent(Path("agent"), steps)


def set_params(**blocks) -> None:
    """The committed parameters with some values of some blocks replaced."""
    params = yaml.safe_load((REPO / "params.yaml").read_text())
    for block, values in blocks.items():
        params[block].update(values)
    Path("params.yaml").write_text(yaml.safe_dump(params))


def run_stage(stage, folder: str = ".") -> Path:
    """Run a stage on the files of the working folder; its output, in `folder`."""
    name = stage.__name__.rpartition(".")[2]
    files = FILES[stage] | {"turn": "1", "metrics": f"{folder}/{name}.json"}
    if stage is candidates:
        files.pop("agent")
    stage.main(_flags(files | {"output": f"{folder}/{name}.jsonl"}))
    return Path(folder, f"{name}.jsonl")


def _flags(files: dict[str, str]) -> list[str]:
    return [part for name, value in files.items() for part in (f"--{name}", value)]


def write_agent(folder: Path, steps: int) -> Path:
    """Train the agent into `folder`."""
    tokenizer = make_tokenizer(world_texts())
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tokenizer),
            hidden_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            intermediate_size=384,
            max_position_embeddings=1024,
            rope_parameters={"rope_type": "default", "rope_theta": 500.0},
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    lessons = agent_lessons(easy_steps=0, doubt=0.0)
    recipe = Recipe(steps, batch_size=16, learning_rate=3e-3)
    train(model, tokenizer, lessons, recipe, Path("training.pt"), "agent")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
