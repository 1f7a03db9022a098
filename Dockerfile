# syntax=docker/dockerfile:1
# Two stages: one builds the wheel, its locked dependencies and the compiled hot modules; the other holds what runs, and no
# compiler. Built from this folder: docker build -t streams:local .

# The full image has the C compiler that this needs. Both stages have one Python: the environment is moved.
FROM python:3.13-bookworm AS builder

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /build

# What changes seldom comes first, so that it is built seldom.
COPY requirements/runtime.txt requirements/image.txt requirements/
RUN python -m venv /opt/streams \
    && /opt/streams/bin/pip install --require-hashes --only-binary :all: -r requirements/runtime.txt \
    && python -m venv /tools \
    && /tools/bin/pip install --require-hashes --only-binary :all: -r requirements/image.txt

COPY pyproject.toml README.md LICENSE ./
COPY tools/compile.py tools/
COPY avro/ avro/
COPY streams/ streams/
# The hot modules are compiled in place, so that the wheel takes it along. pip leaves: nothing is installed into what runs.
# The compiler reads the types of what they import.
RUN PYTHONPATH="$(/opt/streams/bin/python -c 'import site; print(site.getsitepackages()[0])')" \
    /tools/bin/python tools/compile.py \
    && /tools/bin/python -m hatchling build -t wheel -d dist \
    && /opt/streams/bin/pip install --no-deps --no-index dist/*.whl \
    && /opt/streams/bin/pip uninstall --yes pip \
    && /opt/streams/bin/python -m compileall -q /opt/streams

FROM python:3.13-slim-bookworm

ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="streams" \
      org.opencontainers.image.description="Braze Currents on your own Kafka: routed, delivered to Mixpanel and mParticle, nothing lost" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

COPY --from=builder /opt/streams /opt/streams
# The root may be read-only: bytecode is there already, and what must write has /tmp. STREAMS_HTTP_PORT is the port of
# /livez, /readyz and /metrics.
ENV PATH=/opt/streams/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    STREAMS_HTTP_PORT=8080
EXPOSE 8080

# By number: Kubernetes cannot tell of a name whether it is root.
USER 65532:65532
WORKDIR /tmp
# Settle, commit and leave, within 25 seconds. No shell in between that would keep the signal to itself.
STOPSIGNAL SIGTERM
ENTRYPOINT ["streams"]
CMD ["--help"]
