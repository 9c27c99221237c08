"""What judges reply, and what is read: thoughts, decoration, grades, "not sure"; in linear time."""

import itertools
import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from timing import assert_linear, seconds

from stages.judge import prompts, relevance, sub_answers
from stages.judge.prompts import MalformedReply, Prompt
from stages.judge.reasoning import without_reasoning
from stages.scripted.facts import read_fact, read_query
from stages.scripted.generator import next_action

FOLDER = Path("stages/prompts")
RELEVANCE = {
    name: Prompt.load(FOLDER / f"{name}.yaml", *relevance.FIELDS)
    for name in ("relevance", "relevance_few_shot", "relevance_short")
}
SUB_ANSWERS = {
    name: Prompt.load(FOLDER / f"{name}.yaml", *sub_answers.FIELDS)
    for name in ("sub_answers", "sub_answers_few_shot", "sub_answers_short")
}

READ = [  # all of them say 85 of passage 1 and 10 of passage 2
    "[1] 85\n[2] 10",
    "[1] 85\r\n[2] 10\r\n",
    "[2] 10\n[1] 85",
    # thoughts
    "<think>[1] 20\n[2] 90</think>[1] 85\n[2] 10",
    "<think>\nHm.\n[1] 20\n[2] 90\n</think>\n\n[1] 85\n[2] 10",
    "[1] 20\n[2] 90\n</think>\n\n[1] 85\n[2] 10",
    "Passage 1 is better.\n</thinking>\n[1] 85\n[2] 10",
    "<thinking>[1] 20</thinking>\n[1] 85\n[2] 10",
    "<Reasoning>[1] 20</Reasoning>\n[1] 85\n[2] 10",
    "<thought>\n[1] 20\n</thought>[1] 85\n[2] 10",
    '<think time="3">[1] 20</think>[1] 85\n[2] 10',
    "<think>a <think>[1] 20</think> b [2] 30</think>[1] 85\n[2] 10",
    "<think></think>[1] 85\n<think>[2] 30</think>[2] 10",
    "[1] 85 <reason>states the answer</reason>\n[2] 10 <reason>does not</reason>",
    "[THINK][1] 20[/THINK][1] 85\n[2] 10",
    "◁think▷[1] 20◁/think▷[1] 85\n[2] 10",
    "<seed:think>[1] 20</seed:think>[1] 85\n[2] 10",
    "<|begin_of_thought|>[1] 20<|end_of_thought|>[1] 85\n[2] 10",
    "<|START_THINKING|>[1] 20<|END_THINKING|>[1] 85\n[2] 10",
    "<|channel|>analysis<|message|>[1] 20<|end|><|start|>assistant<|channel|>final<|message|>[1] 85"
    "\n[2] 10",
    "analysisWe grade: [1] 20 [2] 90assistantfinal[1] 85\n[2] 10",
    "[1] 85\n[2] 10\n<think>Was that right? [1] 20",
    "<|thinking|>[1] 20<|/thinking|>[1] 85\n[2] 10",
    "<|channel>thought\n[1] 20\n<channel|>[1] 85\n[2] 10",
    "<unused94>thought\n[1] 20\n<unused95>[1] 85\n[2] 10",
    "<|inner_prefix|>[1] 20<|inner_suffix|>[1] 85\n[2] 10",
    "<reasoning_process>[1] 20</reasoning_process>[1] 85\n[2] 10",
    "<internal_thoughts>\n[1] 20\n</internal_thoughts>\n[1] 85\n[2] 10",
    "Here is my thought process:\n[1] 20\n[2] 90\n\nHere is my response:\n[1] 85\n[2] 10",
    "Thinking...\n[1] 20\n[2] 90\n...done thinking.\n\n[1] 85\n[2] 10",
    "<|thinking_start|>[1] 20\n[2] 90<|thinking_end|>[1] 85\n[2] 10",
    "**Thinking:**\n[1] 20\n[2] 90\n\n**Final grades:**\n[1] 85\n[2] 10",
    "thinking\n[1] 20\n</think>\n[1] 85\n[2] 10",
    # decoration
    "**[1]** 85\n**[2]** 10",
    "[1] **85**\n[2] **10**",
    "**[1] 85**\n**[2] 10**",
    "**[1]:** 85\n**[2]:** 10",
    "*[1]* _85_\n*[2]* __10__",
    "`[1] 85`\n`[2] 10`",
    "```\n[1] 85\n[2] 10\n```",
    "- [1] 85\n- [2] 10",
    "* [1] 85\n* [2] 10",
    "• [1] 85\n• [2] 10",
    "> [1] 85\n> [2] 10",
    "### [1] 85\n### [2] 10",
    "✅ [1] 85\n❌ [2] 10",
    "<answer>\n[1] 85\n[2] 10\n</answer>",
    "<answer>[1] 85\n[2] 10</answer>",
    "[1] <b>85</b>\n[2] <b>10</b>",
    "[1] 85\n[2] 10</s>",
    "[1] 85<br>\n[2] 10<br>",
    "\ufeff[1]\u00a085\n[2]\u00a010",
    "[1] 85\r[2] 10\r",
    "\\[1\\] 85\n\\[2\\] 10",
    "<｜Assistant｜>[1] 85\n[2] 10<｜end▁of▁sentence｜>",
    "[INST][/INST] [1] 85\n[2] 10",
    '<passage id="1">85</passage>\n<passage id="2">10</passage>',
    '<passage id="1"><score>85</score><reason>yes</reason></passage>\n'
    '<passage id="2"><score>10</score><reason>no</reason></passage>',
    "［1］ 85\n［2］ 10",
    "【1】85\n【2】10",
    "[1]：85\n[2]：10",
    "（1）85\n（2）10",
    "[1] 85分\n[2] 10分",
    "[1] 85％\n[2] 10％",
    "1\ufe0f\u20e3 85\n2\ufe0f\u20e3 10",
    "① 85\n② 10",
    # headings and tables
    "### Passage 1\nScore: 85\n\n### Passage 2\nScore: 10",
    "### Passage [1]\n**Grade:** 85\n**Reason:** states it\n\n### Passage [2]\n**Grade:** 10",
    "**Passage 1: 21 (album)**\n- Relevance: high\n- Score: 85/100\n- Explanation: one of 3.\n\n"
    "**Passage 2: Paris**\n- Relevance: low\n- Score: 10/100\n- Explanation: another topic.",
    "1. **Passage 1**\n   - Relevance Score (0-100): 85\n2. **Passage 2**\n  - Relevance Score: 10",
    "[1]\n85\n[2]\n10",
    "**[1]**\n\n85 (states it)\n\n**[2]**\n\n10 (does not)",
    "| Passage | Title | Grade |\n|:--|:--|--:|\n| [1] | 21 (album) | 85 |\n| [2] | 25 | 10 |",
    "| Passage | Score | Reason |\n|---|---|---|\n| [1] | 85 | in 20 |\n| [2] | 10 | no |",
    "| # | Title | Relevance score |\n|---|---|---|\n| 1 | 12 Monkeys | **85** |\n| 2 | X | 10 |",
    "| Passage | Grade | Confidence |\n|---|---|---|\n| 1 | 85 | 90 |\n| 2 | 10 | 95 |",
    "| Rank | Passage | Grade |\n|---|---|---|\n| 1 | [2] | 10 |\n| 2 | [1] | 85 |",
    "Passage | Grade\n--- | ---\n1 | 85\n2 | 10",
    "| # | Passage | Grade |\n|---|---|---|\n| 1 | [2] Paris | 10 |\n| 2 | [1] Inception | 85 |",
    "[1] 85\nRelevance: high\n[2] 10\nRelevance: low",
    # labels
    "[1]85\n[2]10",
    "[1]: 85\n[2]: 10",
    "[1] : 85\n[2] : 10",
    "[1] - 85\n[2] - 10",
    "[1] – 85\n[2] – 10",
    "[1] = 85\n[2] = 10",
    "[1] -> 85\n[2] → 10",
    "Passage [1]: 85\nPassage [2]: 10",
    "Passage 1: 85\nPassage 2: 10",
    "**Passage 1:** 85\n**Passage 2:** 10",
    "[Passage 1] 85\n[Passage 2] 10",
    "Document 1 - 85\nDocument 2 - 10",
    "1. 85\n2. 10",
    "1) 85\n2) 10",
    "(1) 85\n(2) 10",
    "1: 85\n2: 10",
    "1 - 85\n2 - 10",
    "1\t85\n2\t10",
    "#1: 85\n#2: 10",
    "Relevance score for [1]: 85\nRelevance score for [2]: 10",
    "Score for passage [1]: 85 out of 100\nScore for passage [2]: 10 out of 100",
    "Score of Passage 1: 85\nScore of Passage 2: 10",
    "**Passage 1** (Score: 85)\n**Passage 2** (Score: 10)",
    "**Passage 1** - **Score:** 85\n**Passage 2** - **Score:** 10",
    "passage_1: 85\nPassage-2: 10",
    "1. [1] 85\n2. [2] 10",
    "1. **Passage 1**: 85\n2. **Passage 2**: 10",
    "1. Passage [2]: 10\n2. Passage [1]: 85",
    "**[1] Christopher Nolan**: 85\n**[2] Paris**: 10",
    "[1] Inception - 85\n[2] Highly relevant: 10",
    "Here you are:\n\n| Passage | Grade |\n|---|---|\n| 1 | 85 |\n| 2 | 10 |",
    # grades
    "[1] 85/100\n[2] 10/100",
    "[1] 85 / 100\n[2] 10 / 100",
    "[1] 85 out of 100\n[2] 10 out of 100",
    "[1] 85.0\n[2] 10.00",
    "[1] 85.\n[2] 10.",
    "[1] 85,\n[2] 10",
    "[1] 85%\n[2] 10 %",
    "[1] 85 points\n[2] 10 points",
    "[1] Grade: 85\n[2] Grade: 10",
    "[1] Relevance score: 85\n[2] relevance = 10",
    "[1] +85\n[2] 010",
    '[1] "85"\n[2] "10"',
    "[1] [85]\n[2] (10)",
    "[1] $\\boxed{85}$\n[2] \\boxed{10}",
    "[1] 85 (states the answer)\n[2] 10 (another topic)",
    "[1] **85** (states the answer)\n[2] **10** (nothing)",
    "[1] 85/100 (born in 1984)\n[2] 10/100 (1999 is no answer)",
    "[1] 85 - states the answer\n[2] 10 - says nothing",
    "[1] 85: states it\n[2] 10: says nothing",
    "[1] 85, as it states the answer\n[2] 10, as it does not",
    "[1] 85. The passage states it.\n[2] 10. It does not.",
    "[1] 85 because it states the answer\n[2] 10 since it does not",
    "[1] 85 | states it\n[2] 10 | does not",
    "[1] 85 (out of 100)\n[2] 10 (out of 100)",
    "[1] 85 (80 to 100: highly relevant)\n[2] 10 (0 to 19: irrelevant)",
    "[1] High (85)\n[2] Not relevant (10)",
    "On a scale of 0 to 100:\n[1] 85\n[2] 10",
    "Scores (out of 100):\n[1] 85\n[2] 10",
    "[1] 85 (one of 8 films, rated 7/10)\n[2] 10",
    # words around
    "[1] 85\n[2] 10\n\nExplanation:\n[1] says that he made it in 2010.\n[2] 1999 film, unrelated.",
    "[1] states it\n[2] does not\n\nGrades:\n[1] 85\n[2] 10",
    "[1] 85\n[2] 10\n\nPassage [1] was given 85 because it states the answer.",
    "[1] 85\n[2] 10\n\n**Passage 1** (85): states it. **Passage 2** (10): no.",
    "Here are the grades:\n\n[1] 85\n[2] 10\n\nPassage 1 is about 2 films.",
    # lists on one line
    "[1] 85 [2] 10",
    "[1] 85, [2] 10",
    "[1] 85; [2] 10",
    "[1]: 85 | [2]: 10",
    "[1] 85 and [2] 10",
    "Grades: [1] 85, [2] 10",
    "The grades are: [1] 85 and [2] 10.",
    "1: 85, 2: 10",
    "1. 85 2. 10",
    "Passage 1: 85, Passage 2: 10",
    # JSON
    "[85, 10]",
    '["85", "10"]',
    "```json\n[85, 10]\n```",
    "Grades:\n[85, 10]",
    '{"1": 85, "2": 10}',
    '{"[1]": 85, "[2]": 10}',
    '{"passage_1": 85, "passage_2": 10}',
    '{"grades": [85, 10]}',
    '{"relevance_scores": [85, 10]}',
    '{"result": {"output": [85, 10]}}',
    '{"grades": {"1": 85, "2": 10}, "comment": "none"}',
    '[{"passage": 1, "grade": 85}, {"passage": 2, "grade": 10}]',
    '[{"id": "1", "score": 85, "reason": "yes"}, {"id": "2", "score": 10, "reason": "no"}]',
    '[{"1": 85}, {"2": 10}]',
    "[[1, 85], [2, 10]]",
    '{"passage": 1, "grade": 85}\n{"passage": 2, "grade": 10}',
    '{"1": {"grade": 85, "why": "a"}, "2": {"grade": 10, "why": "b"}}',
    'The JSON:\n```json\n{\n  "1": 85,\n  "2": 10\n}\n```\nWhy: passage 1 states it.',
    '{"1": 85,\n "2": 10,}',
    "{'1': 85, '2': 10}",
    '[\n  {"passage": 1, "relevance_grade": 85, "explanation": "In 1984 [1] says 20"},\n'
    '  {"passage": 2, "relevance_grade": 10, "explanation": ""}\n]',
]

MALFORMED = [  # (reply, the reason that relevance.yaml gives)
    ("", "missing_labels"),
    ("<think>\n[1] 20\n[2] 90", "only_reasoning"),
    ("<think>\n[1] 20\n[2] 90\n", "only_reasoning"),
    ("Hm <think> so <think> a </think> [1] 20\n[2] 90", "missing_labels"),
    ("analysisWe grade [1] 20\n[2] 90", "only_reasoning"),
    ("[1] 85\n[2] 10\n</think>", "only_reasoning"),
    ("I cannot grade these passages.", "missing_labels"),
    ("[1] 85", "missing_labels"),
    ("[1] 85\n[2]", "not_an_integer"),
    ("[1] 85\n[2] N/A", "not_an_integer"),
    ("[1] high\n[2] low", "not_an_integer"),
    ("[1] eighty-five\n[2] ten", "not_an_integer"),
    ("**[1]** high\n**[2]** low", "not_an_integer"),
    ("[1] ８５\n[2] 10", "not_an_integer"),
    ("[1] 1e2\n[2] 10", "not_an_integer"),
    ("[1] ~85\n[2] 10", "not_an_integer"),
    ("[1] >85\n[2] 10", "not_an_integer"),
    ("[1] 85+\n[2] 10", "not_an_integer"),
    ("[1] 85?\n[2] 10", "not_an_integer"),
    ("[1] 8 5\n[2] 10", "two_grades"),
    ("[1] 12 Monkeys\n[2] 10", "not_an_integer"),
    ("[1] " + "9" * 5000 + "\n[2] 10", "not_an_integer"),
    ("[1] 85.5\n[2] 10", "decimal"),
    ("- [1] 85.5\n- [2] 10", "decimal"),
    ("[1] 0.85\n[2] 0.1", "decimal"),
    ("[1] 85,5\n[2] 10", "decimal"),
    ("[1] 101\n[2] 10", "out_of_range"),
    ("[1] 850/100\n[2] 10", "out_of_range"),
    ("[1] -5\n[2] 10", "out_of_range"),
    ("**[1]** 300\n**[2]** 10", "out_of_range"),
    ("[1] 8/10\n[2] 1/10", "other_scale"),
    ("[1] 4 out of 5\n[2] 1 out of 5", "other_scale"),
    ("[1] 85-90\n[2] 10", "two_grades"),
    ("[1] 85 - 90\n[2] 10", "two_grades"),
    ("[1] 85 or 90\n[2] 10", "two_grades"),
    ("[1] 85 (or 90)\n[2] 10", "two_grades"),
    ("[1] 85 to 90\n[2] 10", "two_grades"),
    ("[1] 85 -> 20\n[2] 10", "two_grades"),
    ("[1] 85, no: revised to 20\n[2] 10", "two_grades"),
    ("[1] 21 (album): 85\n[2] 10", "two_grades"),
    ("[1] 24: Live Another Day: 85\n[2] 10", "two_grades"),
    ("[1] 21, Adele: 85\n[2] 10", "two_grades"),
    ("[1] 8 Mile - 85\n[2] 10", "two_grades"),
    ("| 1 | 21 (album) | 85 |\n| 2 | Paris | 10 |", "two_grades"),
    ("[1] 85 (previously 20)\n[2] 10", "two_grades"),
    ("[1] 85 (was: 20)\n[2] 10", "two_grades"),
    ("[1] Relevance: 85, Clarity: 20\n[2] 10", "two_grades"),
    ("[1] 85; overall: 20\n[2] 10", "two_grades"),
    ("[1] 85±5\n[2] 10", "two_grades"),
    ("[1] at least: 85\n[2] 10", "not_an_integer"),
    ("[1] Roughly - 85\n[2] 10", "not_an_integer"),
    ("[1] (no more than): 85\n[2] 10", "not_an_integer"),
    ("[1] .85\n[2] .10", "decimal"),
    ("[1].9\n[2].1", "decimal"),
    ("[1] 1'000\n[2] 10", "not_an_integer"),
    ("Scores (out of 10):\n[1] 8\n[2] 1", "other_scale"),
    ("Using a 1-10 scale:\n[1] 8\n[2] 1", "other_scale"),
    ("On a scale of 0 to 5, I grade:\n[1] 4\n[2] 1", "other_scale"),
    ("Rated from 1 to 10:\n1. 8\n2. 1", "other_scale"),
    ("[1] 4 (on a scale of 0-5)\n[2] 1 (on a scale of 0-5)", "other_scale"),
    ("[1] 4 (max 5)\n[2] 1 (max 5)", "other_scale"),
    ("| Passage | Grades (1-5) |\n|---|---|\n| 1 | 5 |\n| 2 | 1 |", "other_scale"),
    ('{"scale": "0-10", "grades": {"1": 8, "2": 1}}', "other_scale"),
    ('{"ranking": [2, 1]}', "missing_labels"),
    ('{"relevant": [1, 2]}', "missing_labels"),
    ('{"confidences": [90, 95]}', "missing_labels"),
    ('{"years": [85, 10]}', "missing_labels"),
    ("Ranked from best to worst:\n1. 2\n2. 1", "ranking"),
    ("In order, most relevant first:\n[1] 2\n[2] 1", "ranking"),
    ("[1] 20, should be 85\n[2] 10", "two_grades"),
    ("[1] 20, I mean 85\n[2] 10", "two_grades"),
    ("[1] 20. Adjusted to 85.\n[2] 10", "two_grades"),
    ("[1] 20 – upgraded to 85\n[2] 10", "two_grades"),
    ("[1] 20, overall 85\n[2] 10", "two_grades"),
    ("[1] 85 (20 to 40)\n[2] 10", "two_grades"),
    ("[1] 85\n[2] 10\n\nActually the second one deserves 40.", "duplicate_labels"),
    ("[1] 85\n[2] 10\n\nThe first passage should be 20.", "duplicate_labels"),
    ("<|thinking_start|>[1] 20\n[2] 90", "only_reasoning"),
    ("<|reasoning_start|>\n[1] 20\n[2] 90", "only_reasoning"),
    ("**Thinking:**\n[1] 20\n[2] 90", "only_reasoning"),
    ("thinking\n[1] 20\n[2] 90", "only_reasoning"),
    ("Passage 1 | up to | 85\nPassage 2 | about | 10", "not_an_integer"),
    ("[1] ~~85~~ 90\n[2] 10", "not_an_integer"),
    ("[1] −5\n[2] 10", "not_an_integer"),
    ("### Passage 1\nScore: 85\nScore: 20\n### Passage 2\nScore: 10", "duplicate_labels"),
    ("### Passage 1\nScore: N/A\n### Passage 2\nScore: 10", "not_an_integer"),
    ("### Passage 1\nScore: 85\n### Passage 2\nIt is about Paris.", "not_an_integer"),
    ("| Passage | Grade |\n|---|---|\n| 1 | 85 |\n| 2 | N/A |", "not_an_integer"),
    ("| Passage | Grade |\n|---|---|\n| 1 | 85 |\n| 2 | 10 |\n\nFinal: [2] 40", "duplicate_labels"),
    ("### Passage 1\nScore: 85\n### Passage 2\nScore: 10\n\nFinal: [1] 20", "duplicate_labels"),
    ("[1] 85\nScore: 20\n[2] 10\nScore: 30", "duplicate_labels"),
    ("[1] 21\nScore: N/A\n[2] 10\nScore: 5", "duplicate_labels"),
    ("# Passage 1: 21 - a film\nScore: N/A\n# Passage 2: 25 - one\nScore: N/A", "not_an_integer"),
    ("### Passage 1\nScore (0-10): 8\n### Passage 2\nScore (0-10): 1", "other_scale"),
    ("| Passage | Grade (1-5) |\n|---|---|\n| 1 | 5 |\n| 2 | 1 |", "other_scale"),
    ("[1] 85\n[2] 10\n\nPassage 1 is worth 20.", "duplicate_labels"),
    ("Passage 1: 85\nPassage 2: 10\nPassage 1 score: 20", "duplicate_labels"),
    ("[1, 2]", "missing_labels"),
    ("I cannot grade the passages [1, 2].", "missing_labels"),
    ("[1,2] 85", "missing_labels"),
    ("[2, 1]", "missing_labels"),
    ("1. [2]\n2. [1]", "duplicate_labels"),
    ("[2] > [1]", "not_an_integer"),
    ("[1] 85\n[2] 10\nFinal: [1] 20", "duplicate_labels"),
    ("[1] 85\n[2] 10\nWait, [2] is 40", "duplicate_labels"),
    ("[1] 85\n[2] 10\nCorrection: [2] should be 40.", "duplicate_labels"),
    ("[1] 85\n[2] 10\nActually, Passage 2: 40", "duplicate_labels"),
    ("[1] 85\n[2] 10\nGrade for [1]: 20", "duplicate_labels"),
    ("[1] 85\n[2] 10\nFinal grades: [1] 70, [2] 20", "duplicate_labels"),
    ("[1] 85\n[2] 10\n\n| 1 | 20 |\n| 2 | 30 |", "duplicate_labels"),
    ('[1] 85\n[2] 10\n\nFinal: {"1": 20, "2": 30}', "duplicate_labels"),
    ("[1] 85\n[2] 10\n### Passage 1\nScore: 20\n### Passage 2\nScore: 30", "duplicate_labels"),
    ("<unused94>thought\n[1] 20\n[2] 90", "only_reasoning"),
    ("<|channel>thought\n[1] 20\n[2] 90", "only_reasoning"),
    ("<|thinking|>\n[1] 20\n[2] 90", "only_reasoning"),
    ("<thought_process>\n[1] 20\n[2] 90", "only_reasoning"),
    ("Here is my thought process:\n[1] 20\n[2] 90", "only_reasoning"),
    ("Thinking...\n[1] 20\n[2] 90", "only_reasoning"),
    ("[1] 85 [1] 20\n[2] 10", "duplicate_labels"),
    ("[1] 85\n[1] 20\n[2] 10", "duplicate_labels"),
    ("[1] 85\n[1] 85\n[2] 10", "duplicate_labels"),
    ("[1] 85\n[2] 10\n**[1]** 20", "duplicate_labels"),
    ("[1] 85\n[2] 10\nPassage 1: 20", "duplicate_labels"),
    ("[1] 85\n[2] 10\n1. 20\n2. 30", "duplicate_labels"),
    ("[1] 85\n[2] 10\n\nFinal grades: [20, 90]", "duplicate_labels"),
    ("[85, 10]\n[1] 20\n[2] 90", "duplicate_labels"),
    ('{"1": 85, "1": 20, "2": 10}', "duplicate_labels"),
    ('{"1": 85.5, "2": 10}', "decimal"),
    ("[1] 85\n[2] 10\n[3] 40", "extra_labels"),
    ("[0] 85\n[1] 10", "extra_labels"),
    ("85\n10", "missing_labels"),
    ("85, 10", "missing_labels"),
    ("[85, 10, 3]", "missing_labels"),
    ("[85.5, 10]", "decimal"),
    ('["\\u0038\\u0035", "10"]', "missing_labels"),
    ("[" * 100_000, "missing_labels"),
]


LAST = re.compile(
    "revised|album|Live|Adele|Mile|Clarity|overall|least|Roughly|no more than|up to|should be"
    "|I mean|upgraded"
)


@pytest.mark.parametrize("name", RELEVANCE)
@pytest.mark.parametrize("reply", READ)
def test_replies_that_say_85_and_10(reply, name):
    assert relevance.parse(RELEVANCE[name], reply, 2) == [85, 10]


@pytest.mark.parametrize(("reply", "reason"), MALFORMED, ids=lambda text: text[:30])
def test_replies_that_say_no_grades(reply, reason):
    with pytest.raises(MalformedReply) as error:
        relevance.parse(RELEVANCE["relevance"], reply, 2)
    assert str(error.value) == reason
    if LAST.search(reply):  # to a pattern for the last number of a line, words are a passage
        return
    for name in ("relevance_few_shot", "relevance_short"):
        with pytest.raises(MalformedReply):
            relevance.parse(RELEVANCE[name], reply, 2)


def test_one_passage():
    """`[1]` is a label, so a list of one number is a grade where it stands alone."""
    prompt = RELEVANCE["relevance"]
    for reply in ("[1] 85", "[85]", "```json\n[85]\n```", '{"1": 85}', '[{"grade": 85}]'):
        assert relevance.parse(prompt, reply, 1) == [85]
    for reply in ("[1]", "[2] 85", "85", "[85] is the best", "[1] 85 [2] 10"):
        with pytest.raises(MalformedReply):
            relevance.parse(prompt, reply, 1)


def test_what_the_laptop_judge_writes_is_read_by_its_pattern_alone():
    """Lines that restate a passage, whatever numbers it holds, end with the grade."""
    lines = [
        "[1] The filmmaker Soman was born in Kaliton. Soman Soman same born live other 40",
        "[2] 1984 is a novel of 1949, by Orwell (1903 - 1950). same 100",
        "[3] - 12 Monkeys: a film / a series [2] other 0",
        "[4] 85",
    ]
    found = relevance.parse(RELEVANCE["relevance_short"], "\n".join(lines) + "\n", 4)
    assert found == [40, 100, 0, 85]


ANSWERS = [  # (reply, the answers to two queries)
    ("[1] Nolan\n[2] Paris", ["Nolan", "Paris"]),
    ("<think>[1] Bay</think>[1] Nolan\n[2] Paris", ["Nolan", "Paris"]),
    ("[1] Bay\n</think>\n[1] Nolan\n[2] Paris", ["Nolan", "Paris"]),
    ("**[1]** Nolan\n**[2]** **Paris**", ["Nolan", "Paris"]),
    ('[1] "Nolan"\n[2] `Paris`', ["Nolan", "Paris"]),
    ("1. Nolan\n2. Paris", ["Nolan", "Paris"]),
    ("Query 1: Nolan\nQuery 2: Paris", ["Nolan", "Paris"]),
    ("[1] Answer: Nolan\n[2] Answer: Paris", ["Nolan", "Paris"]),
    ("- [1] Nolan\n- [2] M*A*S*H", ["Nolan", "M*A*S*H"]),
    ('["Nolan", "Paris"]', ["Nolan", "Paris"]),
    ('{"1": "Nolan", "2": null}', ["Nolan", None]),
    ('[{"query": 1, "answer": "Zo\\u00eb"}, {"query": 2, "answer": "N/A"}]', ["Zoë", None]),
    ("[1] Nolan\n[2] Paris\n\nWhy:\n1. It says so.\n2. It is known.", ["Nolan", "Paris"]),
    ("[1] 85\n[2] 1,984", ["85", "1,984"]),
    (
        "**Query 1:** who\n**Answer:** Nolan\n\n**Query 2:** where\n**Answer:** Paris",
        ["Nolan", "Paris"],
    ),
    ("Q1: who?\nA1: Nolan\nQ2: where?\nA2: Paris", ["Nolan", "Paris"]),
    ("A1: Nolan\nA2: Paris", ["Nolan", "Paris"]),
    ("1. Q: who\n   A: Nolan\n2. Q: where\n   A: Paris", ["Nolan", "Paris"]),
    ("1. Question: who\nAnswer: Nolan\n\n2. Question: where\nAnswer: N/A", ["Nolan", None]),
    ("1. who\nSub-answer: Nolan\n2. where\nSub-answer: Paris", ["Nolan", "Paris"]),
    ("**1. who directed it?**\nNolan\n\n**2. where?**\nParis", ["Nolan", "Paris"]),
    ("[1] who?\nNolan\n[2] where?\nNot Sure", ["Nolan", None]),
    ("[1]\nNolan\n[2]\nNot Sure", ["Nolan", None]),
    (
        "| # | Query | Answer |\n|---|---|---|\n| 1 | who | Nolan |\n| 2 | x | N/A |",
        ["Nolan", None],
    ),
    ("[1] Short answer: Nolan\n[2] Final Answer: Paris", ["Nolan", "Paris"]),
    ("[1] - Nolan,\n[2] → Paris;", ["Nolan", "Paris"]),
    ("[1] <answer>Nolan</answer>\n[2] <answer>Not Sure</answer>", ["Nolan", None]),
    ('{"1": "Nolan", "2": ["Paris"]}', ["Nolan", "Paris"]),
    ('[1] "Heroes" and "Villains"\n[2] J. R. R. Jr.', ['"Heroes" and "Villains"', "J. R. R. Jr."]),
]
NOT_SURE = """Not Sure|not sure.|NOT SURE|**Not Sure**|*Not Sure*|"Not sure."|“Not Sure”|`Not Sure`
|[Not Sure]|(not sure)|Answer: Not Sure|Not sure - the text is silent|Not Sure (no passage says so)
|Not sure: nothing found|Not sure, maybe Paris|I'm not sure|I am not sure about this.|Unsure|N/A
|Paris (not sure)|n/a.|Unknown|unknown.|Unknown (not stated)|None|null|-|---|?|Unclear|Not available
|Cannot be determined|Can't tell from the text|I don’t know|I do not know.|Not mentioned in the text
|Not specified|No information is given|The text does not say|The passages don't mention it
|It is unclear|Not enough information|It cannot be determined.|Unanswerable|Not_Sure|NotSure|NA
|The provided passages do not mention this.|The given text doesn't say.|No answer found|No data
|None of the passages state this.|Information not provided|This is not stated.|Not answerable
|Information not available in the passages|This cannot be determined from the text|None found
|Not explicitly stated|There's no information|There isn't enough information.|We don't know
|I was unable to find it|Unable to determine|The assistant did not find it.|<Not Sure>|…
|The answer is not provided|The question cannot be answered from the passages.|Answer unknown
|A: Not Sure|Result: Not Sure|Response: not sure|The answer is Not Sure|❌ Not Sure|Ｎｏｔ Ｓｕｒｅ
|I have no idea|Sorry, I don't know|Unknown from the text|Unknown / not stated|We are not told
|Based on the passages, it cannot be determined|Unfortunately, this is not stated|(blank)
|Information is missing|The search results don't say|Paris, but I'm not sure
|Insufficient evidence""".replace("\n", "").split("|")
SURE = """Unknown Pleasures|None of them|No|Nada Surf|The Unknown Soldier|Na|Who?|Uncertain Smile
|N/A Records|Not Fade Away|Information Society|The passage of time|'Allo 'Allo!|1984 (novel)
|Nil by Mouth|Knot Sure|The document was found in Nag Hammadi|The Passage is not safe|Nothing
|The information was given by Deep Throat
|Missing|Unknown to the World|Point Blank|A: The Movie|The text was given to him by Smith
|The answer was Paris""".replace("\n", "").split("|")


@pytest.mark.parametrize("name", SUB_ANSWERS)
@pytest.mark.parametrize(("reply", "answers"), ANSWERS)
def test_sub_answers_that_are_read(reply, answers, name):
    assert sub_answers.parse(SUB_ANSWERS[name], reply, 2) == answers


@pytest.mark.parametrize("name", SUB_ANSWERS)
def test_not_sure_in_all_its_forms(name):
    for text in NOT_SURE:
        assert sub_answers.parse(SUB_ANSWERS[name], f"[1] {text}\n[2] Paris", 2) == [None, "Paris"]
    for text in SURE:
        assert sub_answers.parse(SUB_ANSWERS[name], f"[1] {text}\n[2] Paris", 2) == [text, "Paris"]


@pytest.mark.parametrize(
    "reply",
    ["", "<think>[1] Nolan\n[2] Paris", "Nolan", '[1] ""\n[2] Paris', "[1] ****\n[2] Paris"],
)
def test_sub_answers_that_are_malformed(reply):
    for prompt in SUB_ANSWERS.values():
        with pytest.raises(MalformedReply):
            sub_answers.parse(prompt, reply, 2)


def test_a_users_own_pattern_stays_the_only_reader():
    """It may read what would be taken off, have labels of its own, or none."""
    marks = Prompt("", re.compile(r"\*\*(?P<label>\d+)\*\*=(?P<value>\d+)"), "", "none", False)
    assert relevance.parse(marks, "**1**=85 **2**=10", 2) == [85, 10]
    words = Prompt("", re.compile(r"^P(?P<label>\d+) is (?P<value>\d+)$", re.M), "", "none", False)
    assert relevance.parse(words, "**P1 is 85**\n**P2 is 10**", 2) == [85, 10]
    cells = re.compile(r"^\| (?P<label>\d+) \|.*\| (?P<value>\d+) \|$", re.M)
    rows = Prompt("", cells, "", "", False)
    table = "| Passage | Title | Grade |\n|---|---|---|\n| 1 | X | 85 |\n| 2 | Y | 10 |"
    assert relevance.parse(rows, table, 2) == [85, 10]
    two = re.compile(r"^# Passage (?P<label>\d)\nScore: (?P<value>\d+)$", re.M)
    heads = Prompt("", two, "", "", False)
    assert relevance.parse(heads, "# Passage 1\nScore: 85\n# Passage 2\nScore: 10", 2) == [85, 10]
    bare = Prompt("", re.compile(r"^(?P<value>[0-9]+)$", re.M), "", "none", False)
    for reply in ("85\n10", "**85**\n**10**", "[1] 85\n[2] 10", "1. 85\n2. 10", "[85, 10]"):
        assert relevance.parse(bare, reply, 2) == [85, 10]


def test_a_users_slow_pattern_ends(monkeypatch):
    monkeypatch.setattr(prompts, "TIME_LIMIT", 0.2)
    slow = Prompt("", re.compile(r"(?P<value>(?:[a-z]+\s?)+[0-9])\Z"), "", "none", False)
    with pytest.raises(MalformedReply, match="pattern_took_too_long"):
        relevance.parse(slow, "a" * 5000 + "!", 1)  # without a limit: for ever


WORDS = """[1]|[2]|[3]|1.|2)|Passage 1:| |85|10|7|101|85.5|/100| out of |-|**|`|"|{|}|[|]|,|:|(no)
|<think>|</think>|<|channel|>final|Not Sure|N/A|high|or|null|\t|\\boxed{|٢|８|é|\u200b|<answer>
|{"1": |"grade": |<b>"""
PIECES = st.sampled_from([*WORDS.split("|"), *["\n", "|"] * 2])
TEXT = st.one_of(st.lists(PIECES, max_size=25).map("".join), st.text(max_size=60))


@given(reply=TEXT, count=st.integers(1, 3), name=st.sampled_from(sorted(RELEVANCE)))
def test_whatever_the_text_a_grade_has_its_digits_outside_the_thoughts(reply, count, name):
    try:
        grades = relevance.parse(RELEVANCE[name], reply, count)
    except MalformedReply as failure:
        assert re.fullmatch(r"[a-z_]+", str(failure))
        return
    assert len(grades) == count
    said = re.findall(r"[0-9]+", without_reasoning(reply).replace("\u200b", ""))
    for grade in grades:
        assert 0 <= grade <= 100 and grade in map(int, said)


@given(reply=TEXT, count=st.integers(1, 3), name=st.sampled_from(sorted(SUB_ANSWERS)))
def test_whatever_the_text_sub_answers_are_read_or_malformed(reply, count, name):
    try:
        answers = sub_answers.parse(SUB_ANSWERS[name], reply, count)
    except MalformedReply as failure:
        assert re.fullmatch(r"[a-z_]+", str(failure))
        return
    assert len(answers) == count and all(a is None or a == " ".join(a.split()) for a in answers)


@given(st.lists(st.sampled_from(["<think>", "</think>", "[1] 85", " x ", "\n"]), max_size=12))
def test_thoughts_are_cut_as_a_count_of_tags_says(pieces):
    """Written anew: what is kept stands at depth 0, behind the last tag that closes nothing."""
    depth, kept = 0, []
    for piece in pieces:
        if piece == "<think>":
            depth += 1
        elif piece == "</think>" and depth:
            depth -= 1
        elif piece == "</think>":
            kept = []
        elif not depth:
            kept.append(piece)
    assert without_reasoning("".join(pieces)) == "".join(kept)


SEEDS = (
    *(" ", "\t", "[", "]", "[1", "[1]", "1", "1 ", "[1] ", "[1] 85 ", "[1]  ", "a", "a ", "\n"),
    *("\r", "[1]\n", "<", "<think", "<think>", "</think>", "<think ", "*", "**", "_", "`", '"'),
    *("|", "{", '{"1": ', "[[", "or ", "no ", "85 or ", "Passage ", "Passage 1", "(1", "-", "."),
    *("0", ",", "\\", "\\boxed{", "not ", "not sure", "i am ", "the ", "The ", "the a of the a "),
    *("<information>\n", "(not sure", "/", "85/", "85.0", "<|channel|>", "analysis", "#", "→"),
    *("Answer: ", "é", "\u200b"),
)
STARTS = ("", "[1] ", "[1] 85 ", "[1] not sure ")
WHOLE, ALONE = 5_000, 20_000  # characters, of what tries a reply many ways, and of the others
READERS = {
    "grades": (WHOLE, lambda text: _parsed(relevance, RELEVANCE["relevance_short"], text)),
    "sub-answers": (WHOLE, lambda text: _parsed(sub_answers, SUB_ANSWERS["sub_answers"], text)),
    "thoughts": (ALONE, without_reasoning),
    "read_fact": (ALONE, read_fact),
    "read_query": (ALONE, read_query),
    "next_action": (ALONE, lambda text: next_action(f"{ASKED}\n{text}")),
    **{
        name: (ALONE, lambda text, prompt=prompt: list(prompt.pattern.finditer(text)))
        for name, prompt in (RELEVANCE | SUB_ANSWERS).items()
    },
}
ASKED = "Question: Who is the author of the book A B?"
WORTH = 0.15  # seconds: what takes less is linear, or short enough


def _parsed(step, prompt, text: str) -> None:
    with suppress(MalformedReply):
        step.parse(prompt, text, 2)


@pytest.mark.parametrize("name", READERS)
def test_reading_takes_linear_time(name):
    """Text made of one piece over and over, after a start and before an end that fits no pattern.

    At this length a quadratic reader takes seconds; what takes no time to speak of is left.
    """
    length, read = READERS[name]
    for start, piece in itertools.product(STARTS, SEEDS):
        short, long = (f"{start}{piece * (n // len(piece))}!" for n in (length, 2 * length))
        if seconds(read, long) >= WORTH:
            assert_linear(read, short, long, (start, piece))
