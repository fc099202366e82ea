/**
 * The node process of `troupe dev`: is told by its parent what to run, joins, and drains when it is told to stop. When the
 * parent is gone it ends at once, for nothing of `troupe dev` may outlive it.
 */
import type { EncryptionOptions } from '../client/encryption.ts'
import type { ErrorCode } from '../protocol/errors.ts'
import { TroupeError } from '../protocol/errors.ts'
import { createLogger, type LogLevel } from './logger.ts'
import { loadRoles, TroupeProcess } from './process.ts'
import { outliveStrayErrors } from './stray-errors.ts'
import { loadTasks } from './tasks/load.ts'

export interface NodeProcessStart {
  readonly servers: string
  readonly files: readonly string[]
  readonly name: string
  readonly namespace?: string
  readonly slots?: number
  readonly partitions?: number
  readonly encryption?: EncryptionOptions
  readonly logLevel: LogLevel
}

export type NodeProcessMessage =
  | { readonly what: 'ready' }
  | { readonly what: 'failed'; readonly code: ErrorCode; readonly text: string }

let troupe: TroupeProcess | undefined

// Its parent is starting the server.
void loadRoles(['node'])

// Ctrl-C reaches the whole group of processes; the parent decides what becomes of it.
process.on('SIGINT', () => undefined)
process.on('SIGTERM', () => void stop())
process.on('disconnect', () => process.exit(0))
process.on('message', (message: NodeProcessStart | { what: 'stop' }) => {
  if ('what' in message) void stop()
  else void start(message)
})

async function start({ files, ...options }: NodeProcessStart): Promise<void> {
  try {
    const logger = createLogger(options.logLevel, process.stderr.isTTY)
    outliveStrayErrors(logger)
    const loaded = files.length === 0 ? [] : await loadTasks(files)
    troupe = await TroupeProcess.start({
      ...options,
      roles: ['node'],
      definitions: loaded.map(({ definition }) => definition),
      logger,
    })
    say({ what: 'ready' })
  } catch (error) {
    const code = error instanceof TroupeError ? error.code : 'TROUPE_INTERNAL'
    const text = error instanceof Error ? error.message : String(error)
    say({ what: 'failed', code, text })
    process.exitCode = 1
    process.disconnect()
  }
}

async function stop(): Promise<void> {
  await troupe?.stop()
  process.exit(0)
}

function say(message: NodeProcessMessage): void {
  process.send?.(message)
}
