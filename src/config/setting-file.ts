import { readFileSync } from 'node:fs'

/** Reads the file that a setting names. Throws with the names of the setting and the file. */
export const readSettingFile = (setting: string, path: string): string =>
  explainSettingFile(setting, path, () => readFileSync(path, 'utf8'))

/** The same for any other access to the file. */
export function explainSettingFile<T>(setting: string, path: string, access: () => T): T {
  try {
    return access()
  } catch (error) {
    throw new Error(`${setting} ${path} cannot be read: ${(error as Error).message}`)
  }
}
