/**
 * One server per store folder: nats-server itself does not lock its store, and two of them on one would destroy it.
 * The lock is a file with the process id of its holder; a holder that is gone does not hold it.
 */
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { TroupeError } from '../../protocol/errors.ts'

export interface StoreLock {
  /** Names the process that holds the store from now on. */
  heldBy(pid: number): void
  release(): void
}

/** Returns the lock of this folder, held by this process. Throws TROUPE_STORE_IN_USE naming the other holder. */
export function lockStore(storeDir: string): StoreLock {
  const path = join(storeDir, 'server.lock')
  for (let tries = 0; tries < 10; tries++) {
    try {
      writeFileSync(path, String(process.pid), { flag: 'wx' })
      return {
        heldBy: (pid) => writeFileSync(path, String(pid)),
        release: () => rmSync(path, { force: true }),
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw unusable(storeDir, error)
    }
    const holder = holderOf(path)
    if (holder !== undefined && isAlive(holder)) {
      throw new TroupeError('TROUPE_STORE_IN_USE', `store ${storeDir} is in use by process ${holder}`, {
        details: { storeDir, pid: holder },
      })
    }
    removeStale(path, holder)
  }
  throw new TroupeError('TROUPE_STORE_IN_USE', `store ${storeDir} is being taken by several processes at once`)
}

function unusable(storeDir: string, cause: unknown): TroupeError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new TroupeError('TROUPE_INVALID_OPTION', `store ${storeDir} cannot be written: ${reason}`, { cause })
}

function holderOf(path: string): number | undefined {
  try {
    const pid = Number(readFileSync(path, 'utf8'))
    return Number.isInteger(pid) && pid > 0 ? pid : undefined
  } catch {
    return undefined
  }
}

/** Moves the file aside before it looks again, so that it never removes the lock of somebody who was quicker. */
function removeStale(path: string, holder: number | undefined): void {
  const aside = `${path}.${process.pid}`
  try {
    renameSync(path, aside)
    if (holderOf(aside) !== holder) linkSync(aside, path)
  } catch {
    // Somebody else moved it or took it; the next try sees what holds.
  } finally {
    rmSync(aside, { force: true })
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
  // A pid that was given away again, where the system tells what it runs.
  try {
    const command = readFileSync(`/proc/${pid}/cmdline`, 'latin1')
    return pid === process.pid || /nats-server|node|bun|deno/.test(command)
  } catch {
    return true
  }
}
