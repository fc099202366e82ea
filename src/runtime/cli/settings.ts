/**
 * Where options come from: flags, then TROUPE_* variables, then `troupe.config.ts` in the working folder, then defaults.
 * Only options that have a variable can stand in the configuration, under their name in camelCase.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Command, InvalidArgumentError, Option } from 'commander'
import type { EncryptionOptions } from '../../client/encryption.ts'
import { TroupeError } from '../../protocol/errors.ts'
import { limits } from '../../protocol/limits.ts'
import { durationMs, integerBetween } from '../../protocol/options.ts'

/** Options of every command. */
export interface GlobalOptions {
  readonly nats: string
  readonly namespace: string
  readonly creds?: string
  readonly nkey?: string
  readonly tlsCa?: string
  readonly tlsCert?: string
  readonly tlsKey?: string
  readonly inboxPrefix?: string
  readonly encryption?: EncryptionOptions
  readonly logLevel?: LogLevel
}

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
type LogLevel = (typeof logLevels)[number]

/** How to connect, as the options of every command say. */
export function connectionOf({ nats, creds, nkey, tlsCa, tlsCert, tlsKey, inboxPrefix }: GlobalOptions) {
  const tls = { caFile: tlsCa, certFile: tlsCert, keyFile: tlsKey }
  const given = { creds, nkey, inboxPrefix, tls: Object.values(tls).some(Boolean) ? present(tls) : undefined }
  return { servers: nats, ...present(given) }
}

/** Without what was not given, which optional properties must not hold as undefined. */
export function present<T extends object>(given: T): { [Name in keyof T]?: Exclude<T[Name], undefined> } {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as never
}

/** An option that may also be set by TROUPE_<NAME> and in the configuration file. */
export function setting(flags: string, description: string): Option {
  const option = new Option(flags, description)
  return option.env(`TROUPE_${option.name().replaceAll('-', '_').toUpperCase()}`)
}

/** Of the commands that print data. */
export const json = () => new Option('--json', 'print JSON on stdout, and nothing else')

/** Of the commands that may make a namespace. */
export const partitions = () =>
  setting(
    '--partitions <number>',
    'logs among which a new namespace spreads its tasks, 1 to 64 (default: those that there are, or 1)',
  ).argParser(wholeNumber('partitions', 1, limits.partitionsMax))

export const replicas = () =>
  setting('--replicas <number>', 'copies of each stream, 1 to 5; raises what is there (default: 1)').argParser(
    wholeNumber('replicas', 1, 5),
  )

export const logSize = () =>
  setting(
    '--log-size <size>',
    "most that each partition's log may hold, like 32GiB; raises what is there (default: 8GiB, or less if the server has less)",
  ).argParser(bytes('log-size', limits.logBytesMin))

/** Parsers for commander; they say what would be right. */
export function wholeNumber(what: string, min: number, max: number): (text: string) => number {
  return (text) => checked(() => integerBetween(what, text, min, max))
}

/** Keeps the text when it names a policy. */
export function policy(named: (text: string) => unknown): (text: string) => string {
  return (text) => {
    checked(() => named(text))
    return text
  }
}

const units: Readonly<Record<string, number>> = { mib: 2 ** 20, gib: 2 ** 30, tib: 2 ** 40 }

function bytes(what: string, min: number): (text: string) => number {
  return (text) =>
    checked(() => {
      const match = /^(\d{1,6}(?:\.\d{1,6})?)\s*(MiB|GiB|TiB)$/i.exec(text.trim())
      const size = match ? Math.floor(Number(match[1]) * units[match[2]!.toLowerCase()]!) : 0
      if (size >= min) return size
      const least = `${min / 2 ** 20}MiB`
      throw new TroupeError(
        'TROUPE_INVALID_OPTION',
        `${what} "${text}" is not a size of ${least} or more, like 512MiB or 32GiB`,
      )
    })
}

export function milliseconds(what: string): (text: string) => number {
  return (text) => checked(() => durationMs(what, text))
}

/** `cpu=4,gpu=1` → { cpu: 4, gpu: 1 } */
export function amounts(text: string): Record<string, number> {
  return Object.fromEntries(
    Object.entries(labels(text)).map(([name, value]) => {
      const amount = Number(value)
      if (!Number.isFinite(amount) || amount < 0)
        throw new InvalidArgumentError(`"${name}=${value}" has no amount, like cpu=4.`)
      return [name, amount]
    }),
  )
}

/** `zone=a,disk=ssd` → { zone: 'a', disk: 'ssd' } */
export function labels(text: string): Record<string, string> {
  return Object.fromEntries(
    text.split(',').map((pair) => {
      const [, name, value] = /^([A-Za-z0-9_.-]{1,64})=([^,=]{0,128})$/.exec(pair.trim()) ?? []
      if (name === undefined || value === undefined)
        throw new InvalidArgumentError(`"${pair}" is not of the form name=value.`)
      return [name, value]
    }),
  )
}

export function list(text: string): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
}

function checked<T>(parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error))
  }
}

/** Keys from a file: `{"current":"k1","keys":{"k1":"<base64>"}}`. A configuration may hold the object itself. */
export function encryptionFile(path: string): EncryptionOptions {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as EncryptionOptions
  } catch (error) {
    // Not the parser's own words: they quote the file.
    const why = error instanceof SyntaxError ? 'it is no JSON' : (error as Error).message
    throw new InvalidArgumentError(`${path} cannot be read: ${why}`)
  }
}

const configFiles = ['troupe.config.ts', 'troupe.config.mjs', 'troupe.config.js']

/**
 * Fills in, from the configuration file if there is one, what neither a flag nor a variable says. Throws
 * TROUPE_INVALID_OPTION naming file and option.
 */
export async function applyConfiguration(program: Command, command: Command, folder = process.cwd()): Promise<void> {
  const file = configFiles.map((name) => join(folder, name)).find((path) => existsSync(path))
  if (file === undefined) return
  const configuration = await loadConfiguration(file)
  checkNames(program, configuration, file)
  for (let owner: Command | null = command; owner !== null; owner = owner.parent) {
    for (const option of owner.options) {
      const name = option.attributeName()
      const source = owner.getOptionValueSource(name)
      if (option.envVar === undefined || !Object.hasOwn(configuration, name)) continue
      if (source !== undefined && source !== 'default') continue
      owner.setOptionValueWithSource(name, parsed(option, configuration[name], file), 'config')
    }
  }
}

async function loadConfiguration(file: string): Promise<Record<string, unknown>> {
  let module: { default?: unknown }
  try {
    module = await import(pathToFileURL(file).href)
  } catch (cause) {
    throw new TroupeError('TROUPE_INVALID_OPTION', `${file} cannot be loaded: ${(cause as Error).message}`, { cause })
  }
  const { default: configuration } = module
  if (typeof configuration === 'object' && configuration !== null) return configuration as Record<string, unknown>
  throw new TroupeError('TROUPE_INVALID_OPTION', `${file} has no default export that is an object`)
}

function checkNames(program: Command, configuration: Record<string, unknown>, file: string): void {
  const known = new Set<string>()
  for (const command of [program, ...program.commands]) {
    for (const option of command.options) if (option.envVar !== undefined) known.add(option.attributeName())
  }
  const unknown = Object.keys(configuration).find((name) => !known.has(name))
  if (unknown === undefined) return
  throw new TroupeError(
    'TROUPE_UNKNOWN_OPTION',
    `${file}: there is no option "${unknown}"; there are ${[...known].sort().join(', ')}`,
  )
}

function parsed(option: Option, value: unknown, file: string): unknown {
  const parse = option.parseArg
  if (parse === undefined || (typeof value !== 'string' && typeof value !== 'number')) return value
  try {
    return parse(String(value), undefined as never)
  } catch (error) {
    throw new TroupeError('TROUPE_INVALID_OPTION', `${file}: ${option.attributeName()}: ${(error as Error).message}`)
  }
}
