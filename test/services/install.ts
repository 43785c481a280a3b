import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

/**
 * Makes sure of a command: installs its Debian package when we are root, or else throws one
 * sentence that asks for it.
 */
export async function requireCommand(command: string, debianPackage: string): Promise<void> {
  if (Bun.which(command)) return
  const isRoot = process.getuid?.() === 0
  if (!isRoot || !Bun.which('apt-get'))
    throw new Error(`"${command}" is missing; please install it (Debian: ${debianPackage}).`)
  console.error(`${command} is missing: installing ${debianPackage}`)
  const patience = ['-o', 'DPkg::Lock::Timeout=300'] // Another run may be installing just now.
  const install = ['apt-get', ...patience, 'install', '-y', '-q', '--no-install-recommends']
  // A package list that is empty or old is the usual reason for a first failure.
  if ((await run([...install, debianPackage])).exitCode !== 0) {
    await run(['apt-get', ...patience, 'update', '-q'])
    const { exitCode, output } = await run([...install, debianPackage])
    if (exitCode !== 0) throw new Error(`installing ${debianPackage} failed:\n${output}`)
  }
}

/** The folder of Apache Kafka's jars, which Maven brings once and which then stays in the cache. */
export async function requireKafkaJars(): Promise<string> {
  const pom = join(import.meta.dir, 'kafka', 'pom.xml')
  const version = Bun.hash(await Bun.file(pom).text()).toString(16)
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'spillway')
  const jars = join(cache, `kafka-${version}`)
  await requireCommand('java', 'default-jdk-headless')
  if (existsSync(jars)) return jars
  await requireCommand('mvn', 'maven')
  mkdirSync(cache, { recursive: true })
  const fresh = mkdtempSync(join(cache, 'download-'))
  const goal = ['dependency:copy-dependencies', `-DoutputDirectory=${fresh}`]
  const { exitCode, output } = await run(['mvn', '-q', '-B', '-f', pom, ...goal])
  if (exitCode !== 0) throw new Error(`Maven could not bring Apache Kafka:\n${output}`)
  try {
    renameSync(fresh, jars)
  } catch {
    // Another process was faster; its jars are as good.
    rmSync(fresh, { recursive: true, force: true })
  }
  return jars
}

async function run(command: string[]): Promise<{ exitCode: number; output: string }> {
  const child = Bun.spawn(command, {
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  })
  const [output, errors, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  return { exitCode, output: output + errors }
}
