/** A process that stands for election and says when it leads and when it does not any more: killed and stopped by tests. */
import { openBus } from '../../src/nats/connect.ts'
import { openNamespace } from '../../src/nats/setup.ts'
import { Leadership } from '../../src/runtime/leadership.ts'

const [, , url = '', namespace = ''] = process.argv
const bus = await openBus({ servers: url, name: 'candidate' })
const { leases } = await openNamespace(bus, { namespace, logBytesMax: 64 * 1024 * 1024 })
new Leadership({
  leases,
  bus,
  key: 'supervisor',
  holder: `process-${process.pid}`,
  onLeading: () => process.send?.({ leading: true }),
  onStepDown: () => process.send?.({ leading: false }),
}).start()
process.on('disconnect', () => process.exit())
