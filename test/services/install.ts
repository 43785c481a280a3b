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
  return requireJars('kafka', join(import.meta.dir, 'kafka', 'pom.xml'))
}

/** The folder of the jars that `pom` names as dependencies, together with theirs. */
export async function requireJars(name: string, pom: string): Promise<string> {
  await requireCommand('java', 'default-jdk-headless')
  return requireFolder(name, await Bun.file(pom).text(), async (folder) => {
    await requireCommand('mvn', 'maven')
    const goal = ['dependency:copy-dependencies', `-DoutputDirectory=${folder}`]
    await runOrThrow(['mvn', '-q', '-B', '-f', pom, ...goal])
  })
}

/**
 * A folder in the user's cache folder. `fill` makes its content once for each `recipe`. The folder is moved into place
 * then, so its content must not depend on its path.
 */
export async function requireFolder(
  name: string,
  recipe: string,
  fill: (folder: string) => Promise<void>,
): Promise<string> {
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'spillway')
  const folder = join(cache, `${name}-${Bun.hash(recipe).toString(16)}`)
  if (existsSync(folder)) return folder
  mkdirSync(cache, { recursive: true })
  const fresh = mkdtempSync(join(cache, 'download-'))
  try {
    await fill(fresh)
    renameSync(fresh, folder)
  } catch (error) {
    rmSync(fresh, { recursive: true, force: true })
    // Another process may have put the same folder there first: use that.
    if (!existsSync(folder)) throw error
  }
  return folder
}

/** Runs a command of an installer. Throws its output if it fails. */
export async function runOrThrow(command: string[], cwd = process.cwd()): Promise<void> {
  const { exitCode, output } = await run(command, cwd)
  if (exitCode !== 0) throw new Error(`"${command.join(' ')}" failed:\n${output}`)
}

export async function run(
  command: string[],
  cwd = process.cwd(),
): Promise<{ exitCode: number; output: string }> {
  const child = Bun.spawn(command, {
    cwd,
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
