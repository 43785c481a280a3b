import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { S3Client } from 'bun'
import { type ArchiveStore, createS3Store } from '../../src/delivery/archive/store.ts'
import { freePort } from '../support/port.ts'
import { requireCommand, requireFolder, runOrThrow } from './install.ts'
import { type Service, serviceFolder, startService } from './service.ts'

export type S3Service = Service & {
  /** The variables from which the server reads endpoint and credentials. */
  environment: Record<string, string>
  /** The archive under a prefix, as the server writes it. */
  open(prefix: string): ArchiveStore
  /** The bucket that exists. */
  bucket: string
}

const bucket = 'archive'
/** The only key that s3rver knows. It refuses any other. */
const key = 'S3RVER'
const manifest = JSON.stringify({ private: true, dependencies: { s3rver: '3.7.1' } })

/** s3rver on a free port of 127.0.0.1: an S3 server over HTTP that keeps its objects in a folder. */
export async function startS3(): Promise<S3Service> {
  await requireCommand('node', 'nodejs')
  const installed = await requireFolder('s3rver', manifest, async (fresh) => {
    await Bun.write(join(fresh, 'package.json'), manifest)
    await runOrThrow([process.execPath, 'install', '--ignore-scripts', '--no-save'], fresh)
  })
  const port = freePort()
  const folder = serviceFolder('s3')
  const directory = join(folder, 'objects')
  mkdirSync(directory)
  const program = join(installed, 'node_modules', 's3rver', 'bin', 's3rver.js')
  const options = ['--address', '127.0.0.1', '--port', String(port), '--directory', directory]
  const service = await startService({
    name: 's3',
    // Its continuation tokens use a cipher that newer versions of OpenSSL call old.
    command: [
      'node',
      '--openssl-legacy-provider',
      program,
      ...options,
      '--configure-bucket',
      bucket,
    ],
    folder,
    isReady: (log) => /listening/i.test(log),
    readyMsMax: 30_000,
  })
  const environment = {
    S3_ENDPOINT: `http://127.0.0.1:${port}`,
    S3_ACCESS_KEY_ID: key,
    S3_SECRET_ACCESS_KEY: key,
  }
  const credentials = { accessKeyId: key, secretAccessKey: key, endpoint: environment.S3_ENDPOINT }
  const client = new S3Client({ bucket, ...credentials })
  const open = (prefix: string) => createS3Store({ bucket, prefix: `${prefix}/` }, { client })
  return Object.assign(service, { environment, bucket, open })
}
