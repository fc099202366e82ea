/** A process that beats, and keeps its main loop busy when it is told to. */
import { openBus } from '../../src/nats/connect.ts'
import { Subjects } from '../../src/protocol/subjects.ts'
import { startHeartbeat } from '../../src/runtime/heartbeat/heartbeat.ts'

const [, , url = '', namespace = '', node = '', incarnation = ''] = process.argv
const connection = { servers: url, name: node }
const bus = await openBus(connection)
const heartbeat = startHeartbeat({ connection, subjects: new Subjects(namespace), node, bus })
heartbeat.setIncarnation(incarnation)
await bus.flush()

process.on('message', (busyMs: number) => {
  const untilMs = performance.now() + busyMs
  while (performance.now() < untilMs);
  process.send?.('turned')
})
process.on('disconnect', () => process.exit())
process.send?.('ready')
