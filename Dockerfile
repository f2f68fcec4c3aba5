# Image of the operator. It needs the host's network, the engine's socket and NET_ADMIN: docs/installation.md.
# To use another Debian base with Python 3.11 or newer: docker build --build-arg BASE=...
ARG BASE=python:3.13-slim-trixie

# the time of all files; `make image` passes that of the last commit
ARG SOURCE_DATE_EPOCH=1795996800

FROM ${BASE} AS build
# python-iptables is compiled
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev
WORKDIR /src
ARG SOURCE_DATE_EPOCH
# debug information would have the name of a temporary directory
ENV CFLAGS="-O2 -g0"
COPY requirements.lock requirements-build.lock ./
# only distributions whose hashes are in the lock files; pip is not needed at run time
RUN python3 -m venv /build \
    && /build/bin/python -m pip install --no-cache-dir --require-hashes --requirement requirements-build.lock \
    && /build/bin/python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --use-pep517 --wheel-dir /wheels \
        --require-hashes --requirement requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
RUN /build/bin/python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
    && python3 -m venv --without-pip /opt/dockerv6 \
    && /build/bin/python -m pip --python /opt/dockerv6 install --no-index --no-deps --no-compile /wheels/*.whl \
    && /build/bin/python -m pip --python /opt/dockerv6 check \
    && /opt/dockerv6/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/dockerv6/lib \
    && find /opt/dockerv6 -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +

FROM ${BASE}
ARG BASE
ARG SOURCE_DATE_EPOCH
ARG VERSION=0.2.0
LABEL org.opencontainers.image.title="dockerv6" \
      org.opencontainers.image.description="A declarative operator that gives Docker hosts working IPv6" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${BASE}"
# nftables: nft, for inspection; iptables: ip6tables in both variants, and the libraries of python-iptables
# no file of the base is removed: the entry in the layer that says so would have the time of the build
RUN touch /dev/shm/start \
    && apt-get update \
    && apt-get install -y --no-install-recommends nftables iptables \
    && find /var/lib/apt/lists /var/cache/apt -type f -cnewer /dev/shm/start -delete \
    && find /var/log /var/cache/ldconfig -type f -cnewer /dev/shm/start -exec truncate --size=0 {} + \
    && find / -xdev -cnewer /dev/shm/start ! -path /dev ! -path /proc ! -path /sys \
        -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +
COPY --from=build /opt/dockerv6 /opt/dockerv6
ENV PATH=/opt/dockerv6/bin:${PATH} \
    PYTHONDONTWRITEBYTECODE=1
# healthy: every source has been listed and the engine answers
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 CMD ["dockerv6", "healthcheck", "--ready"]
ENTRYPOINT ["dockerv6"]
CMD ["run"]
