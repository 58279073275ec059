# docker build -t gatekeeper .
#
# With the embedded servers, state in a volume:
#   docker run --init -p 127.0.0.1:8080:8080 -v gatekeeper:/data \
#     -e GATEKEEPER__UPSTREAMS__API__TARGETS=http://host.docker.internal:9000 gatekeeper
# With servers of your own:
#   docker run ... -e GATEKEEPER__STORAGE__POSTGRES_FILE=/run/secrets/postgres \
#     -e GATEKEEPER__STORAGE__REDIS_FILE=/run/secrets/redis -e GATEKEEPER__STORAGE__SECRET_FILE=/run/secrets/gate gatekeeper
# Any other key of config.yaml likewise, or the whole file mounted over /etc/gatekeeper/config.yaml.

FROM python:3.12-slim AS build
WORKDIR /src
RUN python -m venv /opt/gatekeeper
COPY requirements/run.txt requirements/run.txt
RUN /opt/gatekeeper/bin/pip install --no-cache-dir --require-hashes --no-deps -r requirements/run.txt
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
    && /opt/gatekeeper/bin/pip install --no-cache-dir --no-deps /wheels/*.whl

FROM python:3.12-slim
RUN useradd --system --uid 10001 --user-group --home-dir /data --shell /usr/sbin/nologin gatekeeper \
    && install -d -m 0700 -o gatekeeper -g gatekeeper /data
COPY --from=build /opt/gatekeeper /opt/gatekeeper
COPY config.yaml /etc/gatekeeper/config.yaml
ENV PATH=/opt/gatekeeper/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    GATEKEEPER__LISTEN=0.0.0.0:8080 \
    GATEKEEPER__STORAGE__DATA_DIR=/data
USER gatekeeper
WORKDIR /data
VOLUME /data
EXPOSE 8080
# SIGTERM drains: give it timeouts.drain (30 s) and a little more before it is killed, as in `docker stop -t 40`.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/_gate/health/live', timeout=4)"]
ENTRYPOINT ["gatekeeper"]
CMD ["serve", "--config", "/etc/gatekeeper/config.yaml"]
