# docker build -t spillway .                            with a ClickHouse elsewhere: CLICKHOUSE_URL
# docker build -t spillway --build-arg EMBEDDED=1 .     with the engine inside, 0.5 GB more
FROM oven/bun:1.4.5-slim AS dependencies
ARG EMBEDDED=0
COPY package.json bun.lock ./
# Some libraries name the compiler and its types as their peers; nothing that runs needs them.
RUN if [ "$EMBEDDED" = 1 ]; then all=; else all=--omit=optional; fi \
  && bun install --production --frozen-lockfile --no-progress $all \
  && rm -rf node_modules/typescript node_modules/@types node_modules/bun-types

FROM oven/bun:1.4.5-slim
COPY --from=dependencies /home/bun/app/node_modules ./node_modules
COPY package.json ./
COPY src ./src
# A new volume takes over the owner of the folder that it covers.
RUN install -d -o bun -g bun -m 0750 /data

ENV DATA_DIR=/data
# By number: a cluster that admits no root cannot tell who a name is.
USER 1000:1000
VOLUME /data
EXPOSE 3000 3001
STOPSIGNAL SIGTERM
# Liveness and not readiness: whoever replaces what is unhealthy must not replace a server whose journal is full.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["bun", "-e", "const { PORT = 3000, TLS_CERT_FILE } = process.env; const url = `http${TLS_CERT_FILE ? 's' : ''}://127.0.0.1:${PORT}/_liveness`; const { ok } = await fetch(url, { tls: { rejectUnauthorized: false } }); process.exit(ok ? 0 : 1)"]
# As a list, and the script makes way for the server: no shell stands between a signal and it.
CMD ["sh", "src/start.sh"]
