import { join } from 'node:path'
import { requireCommand, requireFolder, requireJars, runOrThrow } from '../../services/install.ts'

/** Installs the client libraries of the tests in this folder, each once, into the user's cache folder. */

const here = import.meta.dir

/**
 * The npm packages, several versions beside each other: `posthog-js` of version 1.20.4 is
 * `posthog-js-1.20.4`. Returns the folder that holds `node_modules`.
 */
export function requireNpmClients(packages: Record<string, readonly string[]>): Promise<string> {
  const dependencies = Object.fromEntries(
    Object.entries(packages).flatMap(([name, versions]) =>
      versions.map((version) => [`${name}-${version}`, `npm:${name}@${version}`]),
    ),
  )
  const manifest = JSON.stringify({ name: 'clients', private: true, dependencies })
  return requireFolder('npm-clients', manifest, async (folder) => {
    await Bun.write(join(folder, 'package.json'), manifest)
    await runOrThrow([process.execPath, 'install', '--ignore-scripts', '--no-save'], folder)
  })
}

/** The folder to put into PYTHONPATH. */
export async function requirePythonClients(requirements: readonly string[]): Promise<string> {
  await requireCommand('python3', 'python3')
  return requireFolder('python-clients', requirements.join('\n'), async (folder) => {
    const pip = ['-m', 'pip', 'install', '--quiet', '--no-input', '--disable-pip-version-check']
    await requireCommand('pip3', 'python3-pip')
    await runOrThrow(['python3', ...pip, '--target', folder, ...requirements])
  })
}

/** The compiled program of `go/`. */
export async function requireGoClient(): Promise<string> {
  await requireCommand('go', 'golang-go')
  const source = join(here, 'go')
  const files = ['go.mod', 'go.sum', 'main.go'].map((name) => Bun.file(join(source, name)).text())
  const recipe = (await Promise.all(files)).join('\n')
  const folder = await requireFolder('go-client', recipe, (fresh) =>
    runOrThrow(['go', 'build', '-o', join(fresh, 'client'), '.'], source),
  )
  return join(folder, 'client')
}

/** The jars of `java/pom.xml`. */
export const requireJavaClients = () => requireJars('java-clients', join(here, 'java', 'pom.xml'))
