"""The laptop world with an agent that vLLM's CPU build can load: a Qwen2 of the same vocabulary.

(The base agent is an LFM2, which that build cannot start.) A minute's training has to do, so it is
taught, as the base agent is, on demonstrations, but on those of this very world: it learns them by
heart, searches and answers, and other passages than it knows throw it off now and then.
"""

import random
import shutil
from pathlib import Path

import torch
import yaml
from label_world import REPO
from transformers import Qwen2Config, Qwen2ForCausalLM

from stages import candidates, corpus, correctness, index, questions, trajectories
from stages.common.records import read_jsonl, write_json
from stages.engines.tokenizer import load_tokenizer
from stages.language.supervised import SupervisedRecipe, train_language_model
from stages.teaching.demonstrations import Segment, question_segment

SEARCHER = {"agent": "agent", "retriever": "agent", "index": "index"}  # BM25 asks no encoder
SEARCHER |= {"passages": "data/passages.jsonl"}
FILES = {
    trajectories: SEARCHER | {"questions": "data/questions/train.jsonl"},
    candidates: SEARCHER | {"trajectories": "trajectories.jsonl"},
    correctness: SEARCHER
    | {name: f"{name}.jsonl" for name in ("trajectories", "candidates", "relevance", "visits")},
}


def write_world(steps: int, asked: int) -> None:
    """Corpus, questions, BM25 index and an agent taught on `asked` questions, in this folder."""
    set_params(trajectories={"questions": asked})
    corpus.main(["--output", "data"])
    questions.main(["--corpus", "data", "--output", "data/questions"])
    files = {"passages": SEARCHER["passages"], "output": "index", "metrics": "index.json"}
    index.main(["--bm25", *_flags(files)])
    write_json("agent/scripted.json", {"tokenizer": str(REPO / "models/agent/0")})
    told = read_jsonl(run_stage(trajectories, "scripted"))
    write_agent([_segments(row) for row in told], steps)


def set_params(**blocks) -> None:
    """The committed parameters with some values of some blocks replaced."""
    params = yaml.safe_load((REPO / "params.yaml").read_text())
    for block, values in blocks.items():
        params[block].update(values)
    Path("params.yaml").write_text(yaml.safe_dump(params))


def run_stage(stage, folder: str = ".") -> Path:
    """Run a stage on the files of the working folder; its output, in `folder`."""
    name = stage.__name__.rpartition(".")[2]
    files = FILES[stage] | {"iteration": "1", "metrics": f"{folder}/{name}.json"}
    if stage is candidates:
        files.pop("agent")
    stage.main(_flags(files | {"output": f"{folder}/{name}.jsonl"}))
    return Path(folder, f"{name}.jsonl")


def _flags(files: dict[str, str]) -> list[str]:
    return [part for name, value in files.items() for part in (f"--{name}", value)]


def _segments(row: dict) -> list[Segment]:
    """A trajectory as a demonstration."""
    segments = [question_segment(row["question"])]
    for turn in row["turns"]:
        segments += [Segment(turn["text"], True), Segment(turn["information"], False)]
    return segments[:-1]


def write_agent(told: list[list[Segment]], steps: int) -> None:
    """Train on the demonstrations, and put the model in the place of the scripted agent."""
    tokenizer = load_tokenizer(REPO / "models/agent/0")
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

    def draw(step: int, name: str) -> list[Segment]:
        return random.Random(name).choice(told)

    recipe = SupervisedRecipe(steps, batch_size=16, learning_rate=3e-3)
    train_language_model(model, tokenizer, draw, recipe, Path("training.pt"), "agent")
    shutil.rmtree("agent")
    model.save_pretrained("agent")
    tokenizer.save_pretrained("agent")
