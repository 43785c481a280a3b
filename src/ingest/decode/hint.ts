/** How a client says its payload is packed, in `?compression=`, a form field or Content-Encoding. */
export type Hint = 'gzip' | 'lz64' | 'base64'

/** Case-insensitive; what is not known is ignored. */
export function toHint(text: string | null | undefined): Hint | undefined {
  return text ? hints.get(text.trim().toLowerCase()) : undefined
}

const hints = new Map<string, Hint>([
  ['gzip', 'gzip'],
  ['gzip-js', 'gzip'],
  ['lz64', 'lz64'],
  ['lz-string', 'lz64'],
  ['base64', 'base64'],
  ['b64', 'base64'],
])
