/** The program of a thread or process that runs isolated turns. Modules stay imported from turn to turn. */
import { isMainThread, parentPort } from 'node:worker_threads'
import { redacted, strayError } from '../redaction.ts'
import type { FromLane, ToLane } from './isolated-messages.ts'
import { IsolatedTurns } from './isolated-turns.ts'
import { loadTask } from './load.ts'

const turns = new IsolatedTurns((message: FromLane) => {
  if (parentPort !== null) parentPort.postMessage(message)
  else process.send?.(message)
}, loadTask)

if (parentPort !== null) parentPort.on('message', (message: ToLane) => turns.hear(message))
else if (isMainThread && process.send !== undefined) {
  process.on('message', (message) => turns.hear(message as ToLane))
  process.on('disconnect', () => process.exit(0))
  // Node would print what the error says, which may quote values.
  process.on('uncaughtException', (error) => {
    const line = {
      level: 50,
      time: Date.now(),
      stray: strayError(error),
      msg: 'an error outside of a task ends its process',
    }
    process.stderr.write(`${redacted(JSON.stringify(line))}\n`)
    process.exit(1)
  })
}
