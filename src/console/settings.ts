import { type Config, settingsSchema } from '../config/config.ts'

export type SettingInForce = {
  name: string
  /** Of a secret only whether it is set. */
  value: unknown
  default: unknown
  is_default: boolean
  secret: boolean
  description: string
}

type Field = { description?: string; default?: unknown; secret?: boolean }

/** All settings as they are in force in this process, in the order of docs/settings.md. */
export function toSettings(config: Config): SettingInForce[] {
  const values: Record<string, unknown> = config
  return Object.entries(settingsSchema.properties).map(([name, field]) => {
    const { description = '', default: usual = null, secret = false } = field as Field
    const value = values[name] ?? null
    return {
      name,
      value: secret && value !== null ? '(set)' : value,
      default: usual,
      is_default: JSON.stringify(value) === JSON.stringify(usual),
      secret,
      description,
    }
  })
}
