# The worker and its command line, for the grown-up mode (Postgres, Redis and S3 run elsewhere; see compose.yaml).
# Deployments pin the base by digest: --build-arg BASE=python:3.13-slim-bookworm@sha256:…
ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /build
# For the search of JSON in C (connectors/s3/formats/_scan.c), in this stage alone. `--build-arg COMPILER=` leaves it
# out, where no Debian mirror can be reached: the image is whole then too, and searches by automata, more slowly.
ARG COMPILER="gcc libc6-dev"
RUN test -z "$COMPILER" \
 || (apt-get update && apt-get install --yes --no-install-recommends $COMPILER && rm -rf /var/lib/apt/lists/*)
RUN python -m venv /opt/dsr
COPY requirements/runtime.txt requirements/build.txt requirements/
RUN /opt/dsr/bin/pip install --require-hashes --only-binary :all: -r requirements/runtime.txt
RUN python -m venv /opt/tools \
 && /opt/tools/bin/pip install --require-hashes --only-binary :all: -r requirements/build.txt
COPY pyproject.toml hatch_build.py README.md CHANGELOG.md ./
COPY dsr_worker dsr_worker
COPY connectors connectors
COPY retention_policies retention_policies
RUN /opt/tools/bin/python -m build --wheel --no-isolation --outdir /build/dist . \
 && /opt/dsr/bin/pip install --no-deps /build/dist/*.whl \
 && /opt/dsr/bin/pip uninstall --yes pip \
 && /opt/dsr/bin/python -m compileall -q /opt/dsr/lib

FROM ${BASE}
LABEL org.opencontainers.image.title="dsr-worker"
# One number above the host's own users; no shell, no home to write to.
RUN groupadd --gid 10001 dsr \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin dsr \
 && install -d -o 10001 -g 10001 -m 0700 /var/lib/dsr
COPY --from=build /opt/dsr /opt/dsr
ENV PATH=/opt/dsr/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DSR_DATA_DIR=/var/lib/dsr \
    TMPDIR=/tmp
USER 10001:10001
WORKDIR /var/lib/dsr
# Runs with --read-only: only /tmp (a tmpfs) and this volume (sealed spools) are ever written.
VOLUME ["/var/lib/dsr"]
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 CMD ["dsr", "health"]
ENTRYPOINT ["dsr"]
CMD ["worker"]
