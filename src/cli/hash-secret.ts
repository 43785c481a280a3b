/** Prints the argon2id hash of a secret: `bun run hash-secret`, or `… | bun run hash-secret`. */
const secret = process.stdin.isTTY ? await ask('Secret: ') : await Bun.stdin.text()
const line = secret.replace(/\r?\n$/, '')
if (line === '') {
  console.error('no secret: type one at the prompt, or pipe one to `bun run hash-secret`')
  process.exit(1)
}
console.log(await Bun.password.hash(line))
process.exit(0)

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
