# The gateway: docker build -t ttscale-serve . && docker run -p 8000:8000 ttscale-serve --upstream URL --budget 8
FROM python:3.12-slim
WORKDIR /build
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
# torch without CUDA: in front of an upstream it is never loaded.
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu -c constraints.txt '.[serve]' \
    && rm -rf /build
RUN useradd --create-home serve
USER serve
WORKDIR /home/serve
EXPOSE 8000
HEALTHCHECK CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=5)"]
ENTRYPOINT ["ttscale", "serve", "--host", "0.0.0.0"]
