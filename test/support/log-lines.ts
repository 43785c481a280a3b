export type LogLine = { msg: string; level: string } & Record<string, unknown>

type Logging = { log(): string }

/** The lines of a log that are written to their end. The last one may still be being written. */
export const wholeLines = (log: string): string[] => log.split('\n').slice(0, -1)

/** The JSON lines of a server's log so far. Other output, such as that of a crash, is left out. */
export const logLines = <T extends object = LogLine>(server: Logging): T[] =>
  wholeLines(server.log())
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))
