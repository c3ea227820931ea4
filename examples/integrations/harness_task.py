"""lm-evaluation-harness: a task of one's own, answered by searches. (The bundled model: arithmetic only.)"""

import json

from lm_eval import simple_evaluate

from ttscale.integrations.lm_eval import TtscaleLM

rows = [{"q": "Compute (17 + 5) * 3 - 48", "a": "18"}, {"q": "Compute 7 * 6 - 5", "a": "37"}]
with open("questions.jsonl", "w") as file:
    file.writelines(json.dumps(row) + "\n" for row in rows)
task = {"task": "arithmetic", "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": "questions.jsonl"}}}
task |= {"test_split": "test", "output_type": "generate_until", "doc_to_text": "{{q}}", "doc_to_target": "{{a}}"}
task |= {"filter_list": [{"name": "last", "filter": [{"function": "regex", "regex_pattern": r"Answer: (-?\d+)"}]}]}
task["filter_list"][0]["filter"].append({"function": "take_first"})
task |= {"generation_kwargs": {"until": ["\n\n"]}, "metric_list": [{"metric": "exact_match"}]}
print(simple_evaluate(TtscaleLM(budget=8), tasks=[task], bootstrap_iters=0)["results"])
