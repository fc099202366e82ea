/** Submissions that wait for their turn are bounded, and what was sent waits no more. */
import { expect, test } from 'vitest'
import { Submitter } from '../../src/client/submitter.ts'
import type { Log } from '../../src/nats/bus.ts'
import { unpackSubmissionBlock } from '../../src/protocol/blocks.ts'

function open(waitingBytesMax: number) {
  const stored: string[][] = []
  let gate: Promise<void> | undefined
  const append = async (_: string, data: Uint8Array) => {
    await gate
    const block = unpackSubmissionBlock(data)
    stored.push(block.ok ? block.entries.map((entry) => String(entry?.[1])) : [])
    return { outcome: 'stored', sequence: stored.length, duplicate: false } as const
  }
  let ids = 0
  const submitter = new Submitter({
    log: { append } as unknown as Log,
    subject: 'block',
    messageId: () => String(ids++),
    blockBytesMax: 2_000,
    blockEntriesMax: 10,
    singleBlocksMax: 2,
    waitingBytesMax,
    deadlineMs: 10_000,
    partitions: 1,
  })
  const hold = (until: Promise<void>) => {
    gate = until
  }
  return { submitter, stored, hold }
}

test('however much has been sent, the next is taken', async () => {
  const { submitter, stored } = open(1_000)
  for (let n = 0; n < 50; n++) {
    const { block, index } = await submitter.add(['work', `"${String(n).padStart(100, '0')}"`])
    const sequence = await block.stored
    expect(stored[sequence - 1]?.[index]).toContain(String(n))
  }
  expect(stored.flat()).toHaveLength(50)
})

test('more than may wait waits before it is packed, and goes on when there is room', async () => {
  const { submitter, stored, hold } = open(1_000)
  const gate = Promise.withResolvers<void>()
  hold(gate.promise)
  let taken = 0
  const all = Array.from({ length: 200 }, async (_, n) => {
    const { block } = await submitter.add(['work', `"${String(n).padStart(100, '0')}"`])
    taken++
    await block.stored
  })
  await new Promise((resolve) => setImmediate(resolve))
  expect(taken).toBeLessThan(100)
  gate.resolve()
  await Promise.all(all)
  expect(new Set(stored.flat()).size).toBe(200)
})
