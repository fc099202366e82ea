/**
 * Credentials files: the one that `troupe auth` writes holds all that an identity needs to connect (NKey, certificate,
 * inbox); any other is left to NATS's own format. Also makes keys, since they come from NATS's library.
 */
import { readFileSync } from 'node:fs'
import { credsAuthenticator, nkeyAuthenticator, nkeys } from '@nats-io/transport-node'
import { TroupeError } from '../protocol/errors.ts'
import type { AuthRole } from '../protocol/permissions.ts'

/** The content of a file that `troupe auth` has written. Secret. */
export interface TroupeCredentials {
  readonly troupe: 1
  readonly namespace: string
  readonly name: string
  readonly roles: readonly AuthRole[]
  readonly inboxPrefix: string
  /** The seed of its NKey. */
  readonly nkey: string
  /** PEM text. */
  readonly tls: { readonly ca: string; readonly cert: string; readonly key: string }
}

/** Returns a new user's NKey. */
export function newUserKey(): { readonly seed: string; readonly publicKey: string } {
  const pair = nkeys.createUser()
  return { seed: Buffer.from(pair.getSeed()).toString(), publicKey: pair.getPublicKey() }
}

/** Returns what `troupe auth` wrote there; undefined for another kind of file. Throws TROUPE_INVALID_OPTION. */
export function readCredentials(path: string): TroupeCredentials | undefined {
  const text = readSecret('creds', path)
  if (!text.trimStart().startsWith('{')) return undefined
  try {
    const credentials = JSON.parse(text) as TroupeCredentials
    if (credentials.troupe === 1) return credentials
    throw new Error(`its version is ${String(credentials.troupe)}, not 1`)
  } catch (cause) {
    // Not the parser's own words: they quote the file.
    const why = cause instanceof SyntaxError ? 'it is no JSON' : (cause as Error).message
    throw new TroupeError('TROUPE_INVALID_OPTION', `creds file ${path} cannot be read: ${why}`)
  }
}

/** Throws TROUPE_INVALID_OPTION. */
export function credsFileAuthenticator(path: string) {
  return checked('creds', path, () => credsAuthenticator(Buffer.from(readSecret('creds', path))))
}

/** Throws TROUPE_INVALID_OPTION. */
export function seedFileAuthenticator(path: string) {
  return checked('nkey', path, () => nkeyAuthenticator(Buffer.from(readSecret('nkey', path).trim())))
}

export function seedAuthenticator(seed: string) {
  return nkeyAuthenticator(Buffer.from(seed))
}

function checked<T>(what: string, path: string, make: () => T): T {
  try {
    return make()
  } catch (cause) {
    if (cause instanceof TroupeError) throw cause
    throw new TroupeError('TROUPE_INVALID_OPTION', `${what} file ${path} cannot be read: it holds no such thing`)
  }
}

function readSecret(what: string, path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    const message = `${what} file ${path} cannot be read: ${(cause as Error).message}`
    throw new TroupeError('TROUPE_INVALID_OPTION', message, { cause })
  }
}
