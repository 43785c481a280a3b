import { existsSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dir, '../..')
const script = join(root, '../shared/tools/build-image')

/** The commands that build, inspect and run the image on this machine. */
export type ImageTool = {
  name: string
  build: string[]
  /** Further arguments of `build`, for the image without the embedded ClickHouse. */
  slim: string[]
  inspect: string[]
  run(environment: Record<string, string>, command: readonly string[]): string[]
}

/** Docker where its engine runs, else a build script that needs no engine; undefined without both. */
export function findImageTool(tag: string): ImageTool | undefined {
  if (Bun.which('docker') && Bun.spawnSync(['docker', 'info']).exitCode === 0)
    return {
      name: 'docker',
      build: ['docker', 'build', '-q', '-t', tag, root],
      slim,
      inspect: ['docker', 'image', 'inspect', '--format', '{{json .Config}}', tag],
      run: (environment, command) => [
        ...['docker', 'run', '--rm', '--network', 'host', ...toOptions(environment), tag],
        ...command,
      ],
    }
  if (existsSync(script) && process.getuid?.() === 0)
    return {
      name: 'build-image',
      build: [script, root, tag],
      slim,
      inspect: [script, '--inspect', tag],
      run: (environment, command) => [
        ...[script, '--run', tag, ...toOptions(environment)],
        ...['--', ...command],
      ],
    }
  return undefined
}

const slim = ['--build-arg', 'EMBEDDED=0']

const toOptions = (environment: Record<string, string>) =>
  Object.entries(environment).flatMap(([name, value]) => ['-e', `${name}=${value}`])
