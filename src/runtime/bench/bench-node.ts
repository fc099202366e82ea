/**
 * A node in a process of its own, with one task type that does nothing: what `troupe bench` measures with. It leaves when
 * it is told to, or when its parent is gone.
 */
import { task } from '../../client/task.ts'
import { createLogger } from '../logger.ts'
import { type ProcessOptions, TroupeProcess } from '../process.ts'

export interface BenchNodeStart extends Omit<ProcessOptions, 'roles' | 'slots' | 'definitions' | 'logger'> {
  readonly type: string
}

let node: TroupeProcess | undefined

// Ctrl-C reaches the whole group of processes; the parent decides what becomes of it.
process.on('SIGINT', () => undefined)
process.on('disconnect', () => void stop())
process.on('message', (start: BenchNodeStart) => void join(start))

async function join({ type, ...options }: BenchNodeStart): Promise<void> {
  try {
    node = await TroupeProcess.start({
      ...options,
      roles: ['node'],
      slots: 1_000,
      definitions: [task(type, (input: unknown) => input)],
      logger: createLogger('error', process.stderr.isTTY),
    })
    process.send?.('ready')
  } catch (error) {
    process.send?.(error instanceof Error ? error.message : String(error))
  }
}

async function stop(): Promise<void> {
  await node?.stop()
  process.exit(0)
}
