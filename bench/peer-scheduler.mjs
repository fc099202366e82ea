// Scheduler and supervisor of the benchmark, as `troupe start --roles scheduler,supervisor` runs them.
import { writeFileSync } from 'node:fs'
import { createLogger } from '../src/runtime/logger.ts'
import { TroupeProcess } from '../src/runtime/process.ts'

const [servers, ready] = process.argv.slice(2)
const troupe = await TroupeProcess.start({
  servers,
  roles: ['scheduler', 'supervisor'],
  logger: createLogger('warn', false),
})
await troupe.led()
writeFileSync(ready, `${JSON.stringify({ pid: process.pid })}\n`)
process.once('SIGTERM', async () => {
  await troupe.stop()
  process.exit(0)
})
