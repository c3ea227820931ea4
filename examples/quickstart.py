"""Ask the model that ships with the library: nothing is downloaded, no GPU is needed."""

import ttscale

result = ttscale.solve("Compute (17 + 5) * 3 - 48", budget=64)

print(result.text)
print("answer:", result.answer)
print("decided by:", result.strategy)
print("cost:", result.cost)
