"""The gateway: the official client asks `ttscale serve` for a budget. (The bundled model: arithmetic only.)"""

import subprocess
import sys

import openai

command = [sys.executable, "-m", "ttscale", "serve", "--port", "8765", "--max-budget", "16"]
with subprocess.Popen(command) as server:
    client = openai.OpenAI(base_url="http://127.0.0.1:8765/v1", api_key="none", max_retries=40)
    messages = [{"role": "user", "content": "Compute (17 + 5) * 3 - 48"}]
    reply = client.chat.completions.create(model="ttscale-reference@16", messages=messages)
    server.terminate()
print(reply.choices[0].message.content, reply.choices[0].ttscale["votes"], sep="\n")
