import { parseArgs } from 'node:util'
import { toSafe } from '../core/printable.ts'
import { CommandError, runCommand, toQueryUrl, usageFault } from './connection.ts'

const usage = `usage: bun run query STATEMENT

Sends a statement to the embedded ClickHouse of a server on this machine, such as in its container,
and prints the answer. Read-only. The port is EMBEDDED_CLICKHOUSE_PORT, else 8123.`

await runCommand(usage, async () => {
  const { positionals } = parseArgs({
    options: { help: { type: 'boolean' } },
    allowPositionals: true,
  })
  const [statement, ...more] = positionals
  if (statement === undefined || more.length > 0) throw usageFault('give one statement', usage)
  const url = toQueryUrl()
  const reply = await fetch(`${url}/?default_format=PrettyCompactMonoBlock`, {
    method: 'POST',
    body: statement,
  }).catch((error) => {
    throw new CommandError(
      `cannot reach ${url}: ${error.message}; start the server on this machine, or set EMBEDDED_CLICKHOUSE_PORT as the server has it; a server with CLICKHOUSE_URL has no such port`,
    )
  })
  const text = await reply.text()
  if (!reply.ok) throw new CommandError(text.trim())
  // Values of events are texts of strangers. Tabs separate the columns of some formats.
  process.stdout.write(text.split('\t').map(toSafe).join('\t'))
})
