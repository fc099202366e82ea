/**
 * Submitting with a plain NATS client: no Troupe code here, and any language's client can do the same. The submission is
 * durable once JetStream has acknowledged it, also while no Troupe process is up. Start
 * `npx troupe dev examples/word-count/tasks.ts` to have it run, then:
 *
 *   node examples/publish/publish.ts
 */
import { connect, createInbox, headers } from '@nats-io/transport-node'

const nats = await connect({ servers: process.env.TROUPE_NATS ?? 'nats://127.0.0.1:4222' })
const outcomes = nats.subscribe(createInbox(), { max: 1 })
const header = headers()
header.set('Troupe-Reply-To', outcomes.getSubject())

const input = JSON.stringify({ text: 'to be or not to be' })
const stored = await nats.request('troupe.main.submit.count-words', input, { headers: header, timeout: 5_000 })
console.log('stored in the log:', stored.string())
for await (const outcome of outcomes) console.log('outcome:', outcome.string())
await nats.close()
