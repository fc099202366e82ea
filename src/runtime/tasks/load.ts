/**
 * Imports the modules that a user names and collects the tasks they export. Remembers where each came from, so that a
 * thread or process can import it again.
 */
import { existsSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type AnyTaskDefinition, isTaskDefinition } from '../../client/task.ts'
import { TroupeError } from '../../protocol/errors.ts'

export interface LoadedTask {
  readonly definition: AnyTaskDefinition
  /** The file as the user named it, made absolute. */
  readonly file: string
  readonly url: string
}

const origins = new WeakMap<AnyTaskDefinition, string>()

/** The URL of the module that exports a definition; undefined if it was not loaded from a file. */
export function originOf(definition: AnyTaskDefinition): string | undefined {
  return origins.get(definition)
}

/** Remembers which module exports a definition. */
export function noteOrigin(definition: AnyTaskDefinition, url: string): void {
  origins.set(definition, url)
}

/**
 * Returns the tasks that the files export, in order. Throws TROUPE_USAGE for a file that is not there, and
 * TROUPE_IMPORT_FAILED, TROUPE_NO_TASKS, or TROUPE_DUPLICATE_TASK for a type that is exported twice.
 */
export async function loadTasks(files: readonly string[]): Promise<LoadedTask[]> {
  const byType = new Map<string, LoadedTask>()
  for (const name of files) {
    const file = resolve(name)
    const url = pathToFileURL(file).href
    const found = [...new Set(definitionsIn(await importFile(name, file, url)))]
    if (found.length === 0) {
      throw new TroupeError('TROUPE_NO_TASKS', `${name} exports no task; export what \`task(…)\` returns`, {
        details: { file },
      })
    }
    for (const definition of found) {
      const other = byType.get(definition.type)
      if (other === undefined) {
        noteOrigin(definition, url)
        byType.set(definition.type, { definition, file, url })
      } else if (other.definition !== definition) {
        const where = other.file === file ? `twice by ${name}` : `by ${other.file} and by ${file}`
        throw new TroupeError('TROUPE_DUPLICATE_TASK', `task type "${definition.type}" is exported ${where}`, {
          details: { type: definition.type, files: [other.file, file] },
        })
      }
    }
  }
  return [...byType.values()]
}

/** Returns the definition of a type from a module; used where a thread imports its task again. */
export async function loadTask(url: string, type: string): Promise<AnyTaskDefinition> {
  const definition = definitionsIn((await import(url)) as object).find((found) => found.type === type)
  if (definition !== undefined) return definition
  throw new TroupeError('TROUPE_INVALID_TASK', `${url} exports no task of type "${type}"`)
}

async function importFile(name: string, file: string, url: string): Promise<object> {
  if (!existsSync(file)) throw new TroupeError('TROUPE_USAGE', `there is no file ${name}`, { details: { file } })
  if (statSync(file).isDirectory()) {
    throw new TroupeError('TROUPE_USAGE', `${name} is a directory; name the files in it`, { details: { file } })
  }
  try {
    return (await import(url)) as object
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new TroupeError('TROUPE_IMPORT_FAILED', `${name} cannot be imported: ${why}`, { cause, details: { file } })
  }
}

function definitionsIn(module: object): AnyTaskDefinition[] {
  return Object.values(module)
    .flatMap((value: unknown) => (Array.isArray(value) ? value : [value]))
    .filter(isTaskDefinition)
}
