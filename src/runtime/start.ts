/**
 * `troupe start`: one process of a deployment, from its options to its exit code. A first SIGTERM or SIGINT drains; a
 * second stops at once.
 */
import { writeFileSync } from 'node:fs'
import type { BusOptions } from '../nats/connect.ts'
import { type HealthServer, serveHealth } from './health.ts'
import { createLogger, type LogLevel } from './logger.ts'
import { type ProcessOptions, type Role, TroupeProcess } from './process.ts'
import { outliveStrayErrors } from './stray-errors.ts'
import { loadTasks } from './tasks/load.ts'

export interface StartOptions extends Omit<BusOptions, 'name'> {
  readonly namespace?: string
  readonly roles: readonly Role[]
  /** Modules that export tasks. */
  readonly files: readonly string[]
  readonly name?: string
  readonly slots?: number
  readonly resources?: Readonly<Record<string, number>>
  readonly labels?: Readonly<Record<string, string>>
  readonly ordering?: NonNullable<ProcessOptions['ordering']>
  readonly placement?: string
  readonly rebalancing?: string
  readonly replicas?: number
  readonly logBytesMax?: number
  readonly partitions?: number
  readonly healthPort?: number
  /** Gets `{"nats","pid","nodes":[{"id","pid"}]}` once the roles have started. */
  readonly readyFile?: string
  readonly drainMs?: number
  readonly encryption?: NonNullable<ProcessOptions['encryption']>
  readonly logLevel?: LogLevel
}

/** Runs until a signal ends it; resolves with the exit code. Throws what `TroupeProcess.start` throws. */
export async function runStart(options: StartOptions): Promise<number> {
  const logger = createLogger(options.logLevel ?? 'info', process.stderr.isTTY)
  const stopping = stopSignal()
  const loaded = options.files.length === 0 ? [] : await loadTasks(options.files)
  const { files: _files, healthPort, readyFile, logLevel: _level, ...rest } = options
  const processOptions: ProcessOptions = { ...rest, definitions: loaded.map(({ definition }) => definition), logger }
  const troupe = await TroupeProcess.start(processOptions)
  outliveStrayErrors(logger)
  let health: HealthServer | undefined
  if (healthPort !== undefined) {
    health = await serveHealth(troupe, healthPort)
    logger.info({ port: health.port }, 'health and metrics are served')
  }
  if (readyFile !== undefined) writeReadyFile(readyFile, options.servers, troupe)
  logger.info({ roles: options.roles.join(','), name: troupe.name, types: loaded.length }, 'started')
  await stopping
  logger.info('draining; a second signal stops at once')
  await health?.close()
  await troupe.stop()
  return 0
}

/** Resolves at the first SIGTERM or SIGINT; a second one ends the process at once, with 130. */
export function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    let signals = 0
    const onSignal = () => {
      if (++signals > 1) process.exit(130)
      resolve()
    }
    process.on('SIGTERM', onSignal)
    process.on('SIGINT', onSignal)
    // A program that started this one with a channel to it owns it: when that program is gone, so is this.
    if (process.channel !== undefined) {
      process.once('disconnect', () => resolve())
      process.channel.unref()
    }
  })
}

function writeReadyFile(file: string, servers: string | readonly string[], troupe: TroupeProcess): void {
  const nodes = troupe.node === undefined ? [] : [{ id: troupe.name, pid: process.pid }]
  writeFileSync(file, `${JSON.stringify({ nats: withoutUser(servers), pid: process.pid, nodes })}\n`)
}

/** The file is not secret. */
function withoutUser(servers: string | readonly string[]): string | string[] {
  const shown = (url: string) => url.replaceAll(/\/\/[^/@,]*@/g, '//')
  return typeof servers === 'string' ? shown(servers) : servers.map(shown)
}
