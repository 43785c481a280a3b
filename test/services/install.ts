import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** Installs the Debian package of a missing command. Without root it throws a sentence that names the package. */
export async function requireCommand(command: string, debianPackage: string): Promise<void> {
  if (Bun.which(command)) return
  const isRoot = process.getuid?.() === 0
  if (!isRoot || !Bun.which('apt-get'))
    throw new Error(`"${command}" is missing; please install it (Debian: ${debianPackage}).`)
  console.error(`${command} is missing: installing ${debianPackage}`)
  const patience = ['-o', 'DPkg::Lock::Timeout=300'] // Another run may be installing just now.
  const install = ['apt-get', ...patience, 'install', '-y', '-q', '--no-install-recommends']
  // The first install usually fails because the package list is empty or old: update it and try again.
  if ((await run([...install, debianPackage])).exitCode !== 0) {
    await run(['apt-get', ...patience, 'update', '-q'])
    const { exitCode, output } = await run([...install, debianPackage])
    if (exitCode !== 0) throw new Error(`installing ${debianPackage} failed:\n${output}`)
  }
}

/** The folder of Apache Kafka's jars. Maven downloads them once; then they stay in the user's cache folder. */
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
  if (exitCode !== 0) throw new Error(`Maven could not download Apache Kafka:\n${output}`)
  try {
    renameSync(fresh, jars)
  } catch {
    // Another process has put the same jars there first: use those.
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
