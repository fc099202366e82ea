/**
 * One process of a test's cluster: what `troupe start` does, with options that come over the channel to the test. Ends at
 * once when the test's process is gone, however that ended.
 */
import module from 'node:module'
import type { StartOptions } from '../../src/runtime/start.ts'

module.enableCompileCache?.()

process.once('disconnect', () => process.exit(1))
process.once('message', (options: StartOptions) => void run(options))

async function run(options: StartOptions): Promise<void> {
  // From here on only what Troupe holds keeps the process alive: one that does not end has left something open.
  process.channel?.unref()
  const { runStart } = await import('../../src/runtime/start.ts')
  process.exitCode = await runStart(options)
}
