# syntax=docker/dockerfile:1
# vestige without the networks, for `vestige watch`, `score` and whatever else reads evidence:
#
#   docker build -t vestige .
#   docker run --rm --read-only --cap-drop ALL --security-opt no-new-privileges --tmpfs /tmp \
#     -v /var/log:/evidence:ro -v /srv/normal:/detector:ro -v vestige-state:/state \
#     vestige watch /detector /evidence --state /state --sink jsonl:/state/alerts.jsonl
#
# With the networks: docker build --build-arg EXTRAS=neural . (from a plain index that is a CUDA build of gigabytes).
FROM python:3.13-slim AS build
ARG EXTRAS=""
WORKDIR /build
COPY pyproject.toml constraints.txt requirements.txt hatch_build.py README.md CHANGELOG.md LICENSE ./
COPY src ./src
# What comes from the index is held against its hash; what EXTRAS adds is not (docs/security.md).
RUN python -m venv /opt/vestige \
    && /opt/vestige/bin/pip install --no-cache-dir --require-hashes --requirement requirements.txt \
    && /opt/vestige/bin/pip install --no-cache-dir --constraint constraints.txt ".${EXTRAS:+[$EXTRAS]}"

FROM python:3.13-slim
COPY --from=build /opt/vestige /opt/vestige
# A user of its own, without a shell; the state and the cache of compiled code are all that it may write.
RUN useradd --system --uid 10001 --shell /usr/sbin/nologin --create-home --home-dir /state vestige
ENV PATH=/opt/vestige/bin:$PATH PYTHONDONTWRITEBYTECODE=1 XDG_CACHE_HOME=/state/cache
# By its number: a cluster that lets no image run as root sees from it that this one does not.
USER 10001
VOLUME /state
WORKDIR /state
ENTRYPOINT ["vestige"]
CMD ["--help"]
