import { describe, expect, test } from 'bun:test'
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '../support/folder.ts'

const script = `
  const { requireCommand } = await import(${JSON.stringify(join(import.meta.dir, 'install.ts'))})
  await requireCommand('needed', 'needed-package').catch((error) => {
    console.log(error.message)
    process.exit(1)
  })`

/** Asks for the command `needed` where the only programs are those given, by their shell scripts. */
async function askFor(programs: Record<string, string>) {
  using folder = temporaryFolder()
  for (const [name, body] of Object.entries(programs)) {
    writeFileSync(join(folder.path, name), `#!/bin/sh\n${body}\n`)
    chmodSync(join(folder.path, name), 0o755)
  }
  const env = { PATH: folder.path, FOLDER: folder.path }
  const child = Bun.spawn([process.execPath, '-e', script], { env, stderr: 'pipe' })
  const [output, errors] = await Promise.all([child.stdout.text(), child.stderr.text()])
  return { exitCode: await child.exited, said: output.trim(), told: errors.trim() }
}

/** Puts the command where it is looked for, by what a shell can do alone. */
const makeNeeded = '{ echo "#!/bin/sh" > $FOLDER/needed; /bin/chmod 755 $FOLDER/needed; }'

describe('a command that is needed', () => {
  test('is taken where it is', async () => {
    expect(await askFor({ needed: 'true', 'apt-get': 'exit 1' })).toMatchObject({ exitCode: 0 })
  })

  test('is asked for in one sentence where nothing can install it', async () => {
    expect(await askFor({})).toEqual({
      ...{ exitCode: 1, told: '' },
      said: '"needed" is missing; please install it (Debian: needed-package).',
    })
  })

  test.if(process.getuid?.() === 0)('is installed from Debian by root', async () => {
    const aptGet = `case "$*" in *install*\\ needed-package) ${makeNeeded};; *) exit 1;; esac`
    const told = 'needed is missing: installing needed-package'
    expect(await askFor({ 'apt-get': aptGet })).toEqual({ exitCode: 0, said: '', told })
  })

  test.if(process.getuid?.() === 0)(
    'is installed at the second try, with a fresh list',
    async () => {
      const update = 'echo fresh > $FOLDER/list'
      const aptGet = `case "$*" in *update*) ${update}; exit;; esac\n[ -e $FOLDER/list ] && ${makeNeeded}`
      expect(await askFor({ 'apt-get': aptGet })).toMatchObject({ exitCode: 0 })
    },
  )

  test.if(process.getuid?.() === 0)(
    'is an error that says why it cannot be installed',
    async () => {
      const { exitCode, said } = await askFor({ 'apt-get': 'echo no such package; exit 100' })
      expect(exitCode).toBe(1)
      expect(said).toBe('installing needed-package failed:\nno such package')
    },
  )
})
