import { readObject } from '../../../src/delivery/archive/object.ts'
import { type ObjectName, parseObjectName } from '../../../src/delivery/archive/object-name.ts'
import type { ArchiveStore } from '../../../src/delivery/archive/store.ts'

export type Archived = { object: ObjectName; uuids: string[]; lines: string[] }

/** Everything that an archive holds, object by object. */
export async function readArchive(store: ArchiveStore): Promise<Archived[]> {
  const found: Archived[] = []
  for await (const name of store.list({ from: '', before: '~' })) {
    const object = parseObjectName(name)
    if (!object) continue
    const { records } = await readObject(await store.get(name))
    found.push({
      object,
      uuids: records.map((record) => record.head().uuid),
      lines: records.map(({ line }) => new TextDecoder().decode(line)),
    })
  }
  return found
}

export const uuidsIn = (archived: readonly Archived[]) => archived.flatMap(({ uuids }) => uuids)

const cli = (name: string) => `${import.meta.dir}/../../../src/cli/${name}.ts`

/** A command of the repository as a process. */
export function runCli(
  name: string,
  args: readonly string[],
  environment: Record<string, string>,
): CliRun {
  const child = Bun.spawn([process.execPath, cli(name), ...args], {
    env: { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '', ...environment },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const texts = Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  const ended = texts.then(([output, errors, exitCode]) => ({ output, errors, exitCode }))
  return { child, ended }
}

export type CliRun = {
  child: Bun.Subprocess
  ended: Promise<{ output: string; errors: string; exitCode: number }>
}
