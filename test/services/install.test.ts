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

/** Requires the command `needed` with a PATH that holds only the given shell scripts. */
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

/** Creates the command in PATH, with shell built-ins only. */
const makeNeeded = '{ echo "#!/bin/sh" > $FOLDER/needed; /bin/chmod 755 $FOLDER/needed; }'

describe('requireCommand', () => {
  test('accepts a command that is installed', async () => {
    expect(await askFor({ needed: 'true', 'apt-get': 'exit 1' })).toMatchObject({ exitCode: 0 })
  })

  test('names the package in one sentence when it cannot be installed', async () => {
    expect(await askFor({})).toEqual({
      ...{ exitCode: 1, told: '' },
      said: '"needed" is missing; please install it (Debian: needed-package).',
    })
  })

  test.if(process.getuid?.() === 0)('installs the Debian package when run as root', async () => {
    const aptGet = `case "$*" in *install*\\ needed-package) ${makeNeeded};; *) exit 1;; esac`
    const told = 'needed is missing: installing needed-package'
    expect(await askFor({ 'apt-get': aptGet })).toEqual({ exitCode: 0, said: '', told })
  })

  test.if(process.getuid?.() === 0)(
    'updates the package list and tries again after a failed install',
    async () => {
      const update = 'echo fresh > $FOLDER/list'
      const aptGet = `case "$*" in *update*) ${update}; exit;; esac\n[ -e $FOLDER/list ] && ${makeNeeded}`
      expect(await askFor({ 'apt-get': aptGet })).toMatchObject({ exitCode: 0 })
    },
  )

  test.if(process.getuid?.() === 0)('reports the output of an install that failed', async () => {
    const { exitCode, said } = await askFor({ 'apt-get': 'echo no such package; exit 100' })
    expect(exitCode).toBe(1)
    expect(said).toBe('installing needed-package failed:\nno such package')
  })
})
