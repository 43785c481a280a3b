// Gets a token with openid-client by discovery, and refreshes it where there is a refresh token.
// Arguments: folder of node_modules, name of the package, URL of the server, client id, secret, way of authentication.
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const [folder, name, url, id, secret, way] = process.argv.slice(2)
const path = createRequire(join(folder, 'package.json')).resolve(name)
const client = await import(pathToFileURL(path).href)

const authentication =
  way === 'basic' ? client.ClientSecretBasic(secret) : client.ClientSecretPost(secret)
const options = { algorithm: 'oauth2', execute: [client.allowInsecureRequests] }
const config = await client.discovery(new URL(url), id, {}, authentication, options)
const { access_token, token_type, scope } = await client.clientCredentialsGrant(config)
console.log(JSON.stringify({ access_token, token_type, scope }))
