/**
 * Writes structured log lines: a message and fields. Never log secrets or bodies. A line about a
 * login, a revocation or a reload has the field `security` with the name of the event.
 */
export type Log = {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} }
