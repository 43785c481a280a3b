import Type from 'typebox'
import type { Check } from './checks.ts'

/** The types of settings, as the schema in config.ts names them. */
export const kib = 1024
export const mib = 1024 * kib
export const gib = 1024 * mib

export const text = (description: string, fallback?: string, check?: Check) =>
  Type.String({ description, ...(fallback === undefined ? {} : { default: fallback }), check })
export const secret = (description: string, check?: Check) =>
  Type.String({ description, secret: true, check })
export const integer = (
  description: string,
  [fallback, minimum, maximum]: [number, number, number],
) => Type.Integer({ description, default: fallback, minimum, maximum })
export const list = (description: string, check?: Check) =>
  Type.Array(Type.String(), { description, default: [], check })
export const choice = <const T extends string>(
  description: string,
  options: readonly T[],
  fallback: T,
) => Type.Enum([...options], { description, default: fallback })
export const flag = (description: string, fallback: boolean) =>
  Type.Boolean({ description, default: fallback })
export const optional = Type.Optional
