/**
 * What the adapter itself can do on this machine: appends a second, and messages read a second.
 * `node bench/append.ts [--always]`; prints numbers, asserts nothing.
 */
import { openBus } from '../src/nats/connect.ts'
import { openNamespace } from '../src/nats/setup.ts'
import { startEmbeddedServer } from '../src/runtime/server/embedded.ts'

const syncAlways = process.argv.includes('--always')
const server = await startEmbeddedServer({ syncAlways })
const bus = await openBus({ servers: server.url, name: 'bench' })
const { log, subjects } = await openNamespace(bus, { namespace: 'bench', logBytesMax: 1024 ** 3 })
const payload = Buffer.alloc(200, 0x61)

const rate = (count: number, fromMs: number) =>
  Math.round(count / ((performance.now() - fromMs) / 1_000)).toLocaleString('en')

/** `chains` journals with one append in flight each, every one fenced by the one before. */
async function chains(count: number, inFlight: number): Promise<void> {
  const perChain = Math.floor(count / inFlight)
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      const subject = subjects.journal(0, 'node', crypto.randomUUID().slice(0, 8))
      let last = 0
      for (let i = 0; i < perChain; i++) {
        const result = await log.append(subject, payload, { expectedLastSubjectSequence: last })
        if (result.outcome !== 'stored') throw new Error(result.message)
        last = result.sequence
      }
    }),
  )
}

/** Submissions with `inFlight` under way on one connection. */
async function submissions(count: number, inFlight: number): Promise<void> {
  let left = count
  const subject = subjects.submit('bench')
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      while (left-- > 0) await log.append(subject, payload)
    }),
  )
}

async function measure(what: string, count: number, run: () => Promise<void>): Promise<void> {
  const fromMs = performance.now()
  await run()
  console.log(`${what.padEnd(52)} ${rate(count, fromMs).padStart(10)} /s`)
}

console.log(
  `nats-server ${server.version}, node ${process.version}, 200-byte messages, sync_interval ${syncAlways ? 'always' : 'default'}`,
)
await submissions(2_000, 100)
await measure('appends, fenced, 1 in flight', 10_000, () => chains(10_000, 1))
await measure('appends, fenced, 16 journals of 1 in flight', 40_000, () => chains(40_000, 16))
await measure('appends, plain, 16 in flight', 40_000, () => submissions(40_000, 16))
await measure('appends, plain, 500 in flight', syncAlways ? 40_000 : 300_000, () =>
  submissions(syncAlways ? 40_000 : 300_000, 500),
)

const { lastSequence } = await log.info()
for (const label of ['reader, cold', 'reader, warm']) {
  let batches = 0
  let bytes = 0
  await measure(`${label}: messages`, lastSequence, async () => {
    const caughtUp = Promise.withResolvers<void>()
    const reading = await log.read({
      from: 1,
      onMessages: (messages) => {
        batches++
        for (const message of messages) bytes += message.data.length
      },
      onCaughtUp: caughtUp.resolve,
      onGap: (expected, first) => caughtUp.reject(new Error(`gap: ${expected} to ${first}`)),
    })
    await caughtUp.promise
    await reading.stop()
  })
  console.log(`${''.padEnd(4)}${Math.round(lastSequence / batches)} messages a batch, ${Math.round(bytes / 1e6)} MB`)
}
await measure('getRange of 256', 51_200, async () => {
  for (let i = 0; i < 200; i++) await log.getRange(1 + i * 256, 256, 1024 * 1024)
})
await bus.close()
await server.stop()
