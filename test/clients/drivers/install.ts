import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  requireCommand,
  requireFolder,
  requireJars,
  run,
  runOrThrow,
} from '../../services/install.ts'

/** Each returns the command that runs a driver's program. Downloads stay in the user's cache folder. */

export async function requirePythonDriver(): Promise<string[]> {
  await requireCommand('python3', 'python3')
  const list = join(import.meta.dir, 'python/requirements.txt')
  const folder = await requireFolder('clickhouse-python', readText(list), async (fresh) => {
    const { exitCode } = await run(['python3', '-m', 'pip', '--version'])
    if (exitCode !== 0) await requireCommand('pip3', 'python3-pip')
    await runOrThrow(['python3', '-m', 'pip', 'install', '-q', '--target', fresh, '-r', list])
  })
  return ['env', `PYTHONPATH=${folder}`, 'python3', join(import.meta.dir, 'python/check.py')]
}

export async function requireJavaDrivers(): Promise<string[]> {
  await requireCommand('javac', 'default-jdk-headless')
  const jars = await requireJars('clickhouse-java', join(import.meta.dir, 'java/pom.xml'))
  return ['java', '-cp', `${jars}/*`, join(import.meta.dir, 'java/Drivers.java')]
}

export async function requireGoDriver(): Promise<string[]> {
  const source = join(import.meta.dir, 'go')
  const recipe = ['go.mod', 'go.sum', 'main.go'].map((name) => readText(join(source, name)))
  const folder = await requireFolder('clickhouse-go', recipe.join('\n'), async (fresh) => {
    const usual = '/usr/local/go/bin/go'
    const go = existsSync(usual) ? usual : 'go'
    if (go === 'go') await requireCommand('go', 'golang-go')
    await runOrThrow([go, 'build', '-o', join(fresh, 'driver'), '.'], source)
  })
  return [join(folder, 'driver')]
}

const readText = (path: string) => readFileSync(path, 'utf8')
