import { join } from 'node:path'

export type Login = { username: string; password: string }

const storePassword = 'changeit'

/** Creates a certificate in `folder` and returns the entries of server.properties for TLS and SASL. */
export async function toSecureSettings(
  folder: string,
  { username, password }: Login,
): Promise<Record<string, string>> {
  await makeCertificate(folder)
  const login = (module: string, users = '') =>
    `org.apache.kafka.common.security.${module} required${users};`
  const scram = login('scram.ScramLoginModule')
  return {
    'listener.security.protocol.map': 'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL',
    'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
    'listener.name.sasl_ssl.plain.sasl.jaas.config': login(
      'plain.PlainLoginModule',
      ` user_${username}="${password}"`,
    ),
    'listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config': scram,
    'listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config': scram,
    'ssl.keystore.type': 'PKCS12',
    'ssl.keystore.location': join(folder, 'broker.p12'),
    'ssl.keystore.password': storePassword,
  }
}

/** Arguments for formatting the broker's folder: SCRAM users are stored in the metadata log. */
export function toFormatArguments({ username, password }: Login): string[] {
  return ['SCRAM-SHA-256', 'SCRAM-SHA-512'].flatMap((mechanism) => [
    '--add-scram',
    `${mechanism}=[name=${username},password=${password}]`,
  ])
}

export const caFileOf = (folder: string) => join(folder, 'ca.pem')

/** Self-signed: the certificate is its own authority. keytool is part of every JDK. */
async function makeCertificate(folder: string): Promise<void> {
  const store = ['-keystore', join(folder, 'broker.p12'), '-storepass', storePassword]
  const subject = ['-dname', 'CN=127.0.0.1', '-ext', 'SAN=IP:127.0.0.1', '-validity', '2']
  await keytool(['-genkeypair', '-alias', 'broker', '-keyalg', 'EC', ...subject, ...store])
  await keytool(['-exportcert', '-rfc', '-alias', 'broker', '-file', caFileOf(folder), ...store])
}

async function keytool(args: string[]): Promise<void> {
  const child = Bun.spawn(['keytool', ...args], { stdout: 'pipe', stderr: 'ignore' })
  if ((await child.exited) !== 0) throw new Error(`keytool failed: ${await child.stdout.text()}`)
}
