import { parseArgs } from 'node:util'
import { CommandError, runCommand } from './connection.ts'

const usage = `usage: bun run hash-secret
       echo SECRET | bun run --silent hash-secret

Prints the argon2id hash of a secret, for secret_hash and password_hash in the projects file. In a
terminal it asks for the secret and does not show it.`

/** Reads a line from the terminal without showing it. */
async function ask(question: string): Promise<string> {
  process.stderr.write(question)
  process.stdin.setRawMode(true)
  let typed = ''
  for await (const chunk of process.stdin) {
    for (const key of String(chunk)) {
      if (key === '\u0003') process.exit(130)
      if (key === '\r' || key === '\n') {
        process.stdin.setRawMode(false)
        process.stderr.write('\n')
        return typed
      }
      typed = key === '\u007f' || key === '\b' ? typed.slice(0, -1) : typed + key
    }
  }
  return typed
}

// At the end: the constants above are set when it runs.
await runCommand(usage, async () => {
  parseArgs({ options: {} })
  const secret = process.stdin.isTTY ? await ask('Secret: ') : await Bun.stdin.text()
  const line = secret.replace(/\r?\n$/, '')
  if (line === '')
    throw new CommandError(
      'no secret: type one at the prompt, or pipe one to `bun run hash-secret`',
    )
  console.log(await Bun.password.hash(line))
})
