# docker build -t spillway .                                 runs alone: with the embedded ClickHouse
# docker build -t spillway:slim --build-arg EMBEDDED=0 .     without it, 0.5 GB smaller: set CLICKHOUSE_URL, or SINKS=kafka
FROM oven/bun:1.4.5-slim AS dependencies
ARG EMBEDDED=1
COPY package.json bun.lock ./
# Some libraries have the TypeScript compiler and types as peer dependencies. The server does not need them at run time.
RUN if [ "$EMBEDDED" = 1 ]; then all=; else all=--omit=optional; fi \
  && bun install --production --frozen-lockfile --no-progress $all \
  && rm -rf node_modules/typescript node_modules/@types node_modules/bun-types

FROM oven/bun:1.4.5-slim
COPY --from=dependencies /home/bun/app/node_modules ./node_modules
COPY package.json ./
COPY src ./src
# A new volume gets the owner of the folder on which it is mounted.
RUN install -d -o bun -g bun -m 0700 /data

ENV NODE_ENV=production DATA_DIR=/data
# Numeric UID: Kubernetes `runAsNonRoot` cannot verify a user name.
USER 1000:1000
VOLUME /data
EXPOSE 3000 3001
STOPSIGNAL SIGTERM
# Liveness, not readiness: an orchestrator must not replace a server because its journal is full.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["bun", "-e", "const { PORT = 3000, TLS_CERT_FILE } = process.env; const url = `http${TLS_CERT_FILE ? 's' : ''}://127.0.0.1:${PORT}/_liveness`; const { ok } = await fetch(url, { tls: { rejectUnauthorized: false } }); process.exit(ok ? 0 : 1)"]
# List form, and start.sh ends with `exec`: signals reach the server directly, without a shell between.
CMD ["sh", "src/start.sh"]
