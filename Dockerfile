# A consumer, and the HTTP gateway. `docker build --target consumer .` runs next to Triton, `--target gateway` in front of the
# queues, both as docker-compose.yml does.
FROM python:3.12-slim AS source
WORKDIR /src
RUN python -m venv /opt/venv
COPY pyproject.toml README.md LICENSE ./
COPY inference_engine ./inference_engine
COPY inference_engine_demo ./inference_engine_demo

FROM source AS build
RUN /opt/venv/bin/pip install --no-cache-dir '.[triton]'

FROM source AS build-gateway
RUN /opt/venv/bin/pip install --no-cache-dir '.[gateway]'

FROM python:3.12-slim AS gateway
RUN useradd --uid 10001 --create-home gateway
COPY --from=build-gateway /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /app
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/v2/health/live', timeout=2)"]
# The exec form: SIGTERM must reach the gateway, which then lets callers have their results.
ENTRYPOINT ["inference-engine"]
CMD ["gateway", "--host", "0.0.0.0", "--log-format", "json"]

FROM python:3.12-slim AS consumer
# A number, so that Kubernetes' runAsNonRoot can check it.
RUN useradd --uid 10001 --create-home consumer
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /app
USER 10001
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
# The exec form: SIGTERM must reach the consumer, which then drains.
ENTRYPOINT ["inference-engine", "consume", "--http-host", "0.0.0.0", "--http-port", "8080", "--log-format", "json"]
CMD ["--triton", "127.0.0.1:8001", "--max-labels", "4"]
