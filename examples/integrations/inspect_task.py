"""inspect_ai: a task whose model is a search. (The bundled model: arithmetic only.)"""

from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.scorer import includes

from ttscale.integrations.inspect_model import model
from ttscale.integrations.searcher import Searcher

samples = [Sample("Compute (17 + 5) * 3 - 48", target="18"), Sample("Compute 7 * 6 - 5", target="37")]
(log,) = eval(Task(dataset=samples, scorer=includes()), model=model(Searcher(budget=8)), display="none")
print(log.status, log.results.scores[0].metrics["accuracy"].value)
