import { cpus, release, totalmem } from 'node:os'
import manifest from '../package.json'

/** The machine and the versions, which every figure needs for comparison. */
export function describeMachine(): string {
  const [first] = cpus()
  const gib = (totalmem() / 1024 ** 3).toFixed(0)
  const { version, optionalDependencies } = manifest
  return [
    `${cpus().length} × ${first?.model ?? 'unknown CPU'}, ${gib} GiB, Linux ${release()}`,
    `Bun ${Bun.version}, spillway ${version}, chdb ${optionalDependencies.chdb}, ${wrkVersion()}`,
  ].join('; ')
}

function wrkVersion(): string {
  const { stdout } = Bun.spawnSync(['wrk', '-v'])
  return /^wrk \S+/.exec(stdout.toString())?.[0] ?? 'wrk'
}
