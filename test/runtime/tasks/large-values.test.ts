/** Values too large for the log: each kind of entry gives its own to the object store, and they come back as they were. */
import { expect, test } from 'vitest'
import { type JournalEntry, kind, type Payload } from '../../../src/protocol/entries.ts'
import { limits } from '../../../src/protocol/limits.ts'
import { fetchPacked, isReference, storeLarge } from '../../../src/runtime/tasks/large-values.ts'

function shelf() {
  const objects = new Map<string, Uint8Array>()
  return {
    objects,
    storeObject: async (data: Uint8Array) => {
      const name = `object${objects.size}`
      objects.set(name, data)
      return name
    },
    loadObject: async (name: string) => objects.get(name)!,
  }
}

const bytes = limits.inlineBytesMax + 1
const large: [what: string, value: Uint8Array | string][] = [
  ['bytes', new Uint8Array(bytes).fill(7)],
  ['JSON text', JSON.stringify('x'.repeat(bytes))],
  ['text of few characters and many bytes', JSON.stringify('é'.repeat(bytes / 2))],
]

const entriesOf = (value: Payload): [place: number, entry: JournalEntry][] => [
  [3, [kind.completed, 't', 1, value]],
  [3, [kind.checkpointed, 't', 1, value, 5]],
  [3, [kind.yielded, 't', 1, value, 5]],
  [3, [kind.parked, 't', 1, value, 5, 0, true, []]],
  [4, [kind.submitted, 't', 1, 'work', value, { id: 'child' }]],
  [5, [kind.signalled, 't', 1, 'other', 'signal', value]],
]

test.each(large)('%s comes back as it was, from whatever kind of entry', async (_, value) => {
  const objects = shelf()
  for (const [place, entry] of entriesOf(value)) {
    const [stored] = await storeLarge(objects, [entry])
    const payload = stored?.[place] as Payload
    expect(isReference(payload)).toBe(true)
    expect(await fetchPacked(objects, payload)).toEqual(value)
    expect(stored?.toSpliced(place, 1)).toEqual(entry.toSpliced(place, 1))
  }
})

test('what fits stays in the entry', async () => {
  const objects = shelf()
  for (const value of [null, '1', new Uint8Array(limits.inlineBytesMax)]) {
    const entries = entriesOf(value).map(([, entry]) => entry)
    expect(await storeLarge(objects, entries)).toEqual(entries)
  }
  expect(objects.objects.size).toBe(0)
})
