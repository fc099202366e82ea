/** What commands that talk to an installation share: a connection that is always closed, and values from arguments. */
import { text } from 'node:stream/consumers'
import { connect } from '../../client/connect.ts'
import type { Troupe } from '../../client/troupe.ts'
import { TroupeError } from '../../protocol/errors.ts'
import { parseJson } from '../../protocol/json.ts'
import type { Invocation } from './program.ts'
import { connectionOf, type GlobalOptions } from './settings.ts'

/** Connects, does the work, and closes. Streams are made only when `create` is true. */
export async function withTroupe<T>(
  { options }: Invocation,
  work: (troupe: Troupe) => Promise<T>,
  create = false,
): Promise<T> {
  const globals = options as GlobalOptions
  const { namespace, encryption } = globals
  const troupe = await connect({
    ...connectionOf(globals),
    namespace,
    name: 'troupe-cli',
    create,
    ...(encryption && { encryption }),
  })
  try {
    return await work(troupe)
  } finally {
    await troupe.close()
  }
}

/** Returns the value of a JSON argument, `-` for stdin; undefined if there is none. Throws TROUPE_UNREADABLE. */
export async function jsonArgument(argument: string | undefined): Promise<unknown> {
  if (argument === undefined) return undefined
  const source = argument === '-' ? await text(process.stdin) : argument
  try {
    return parseJson(source)
  } catch (cause) {
    const where = argument === '-' ? 'stdin' : `the argument ${JSON.stringify(argument.slice(0, 80))}`
    const hint = `; in a shell it stands in single quotes: '{"name":"value"}'`
    throw new TroupeError('TROUPE_UNREADABLE', `${where} is not JSON: ${(cause as Error).message}${hint}`, { cause })
  }
}

/** Returns the argument; throws TROUPE_USAGE if it was not given. */
export function required(what: string, argument: string | undefined): string {
  if (argument !== undefined) return argument
  throw new TroupeError('TROUPE_USAGE', `give ${what}`)
}

/** Throws TROUPE_USAGE for a flag that was given without the one beside which alone it means something. */
export function goesWith(beside: string, hasBeside: boolean, given: Readonly<Record<string, unknown>>): void {
  const idle = hasBeside ? undefined : Object.keys(given).find((flag) => given[flag] !== undefined)
  if (idle !== undefined) throw new TroupeError('TROUPE_USAGE', `${idle} means nothing without ${beside}`)
}
