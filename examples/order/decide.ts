/**
 * Submits two orders, approves one and rejects the other, and shows that the bank charged once although it was out of order
 * at first. Start `npx troupe dev examples/order/tasks.ts` first, then:
 *
 *   node examples/order/decide.ts
 */
import { connect } from 'troupe'
import { openBank } from './bank.ts'
import { order } from './tasks.ts'

const bank = await openBank(2)
await using troupe = await connect({ servers: process.env.TROUPE_NATS ?? 'nats://127.0.0.1:4222' })
const inputs = [
  { order: 'tea', cents: 450 },
  { order: 'cake', cents: 320 },
].map((each) => ({ ...each, bank: bank.url, reminderMs: 500 }))
const [tea, cake] = await troupe.submitMany(order, inputs)

await tea!.signal({ type: 'APPROVE' })
await cake!.signal({ type: 'REJECT', reason: 'sold out' })
console.log('tea: ', await tea!.result())
console.log('cake:', await cake!.result())
console.log(`the bank saw ${bank.requests()} requests and charged`, Object.fromEntries(bank.charges))
const right = bank.charges.size === 1 && bank.charges.get('tea') === 450
await bank.close()
process.exitCode = right ? 0 : 1
