"""TRL: GRPO on the score of a verifier, here the bundled process reward model."""

from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from ttscale import reference
from ttscale.integrations.trl import reward_function

reward = reward_function(reference.path("prm"))
prompts = Dataset.from_list([{"prompt": "Compute (17 + 5) * 3 - 48\n"}] * 8)
settings = {"per_device_train_batch_size": 4, "num_generations": 4, "max_completion_length": 32, "max_steps": 2}
config = GRPOConfig("grpo", **settings, report_to=[], use_cpu=True, bf16=False, save_strategy="no", logging_steps=1)
trainer = GRPOTrainer(str(reference.path("generator")), reward, config, prompts)
trainer.train()
print([row["reward"] for row in trainer.state.log_history if "reward" in row])
