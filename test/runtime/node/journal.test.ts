/** Rule 4, to the letter: what becomes of a block whose fate is in doubt. */
import { describe, expect, test } from 'vitest'
import { packBlock } from '../../../src/protocol/blocks.ts'
import { formatVersion, type JournalEntry, kind } from '../../../src/protocol/entries.ts'
import { TroupeError } from '../../../src/protocol/errors.ts'
import { limits } from '../../../src/protocol/limits.ts'
import { Journal } from '../../../src/runtime/node/journal.ts'
import { freshNamespace, openTest, until, useServer } from '../../harness/server.ts'
import { ScriptedLog, type Step } from './scripted-log.ts'

const entry = (id: number): JournalEntry => [kind.accepted, `t${id}`, 1]

function scripted(...script: Step[]) {
  const log = new ScriptedLog()
  log.script.push(...script)
  const fences: TroupeError[] = []
  const journal = new Journal({ log: log.log, subject: 'journal', onFenced: (error) => fences.push(error) })
  const stored: [number, number][] = []
  let written = 0
  const write = (count = 1) => {
    for (; count > 0; count--) {
      const id = ++written
      journal.write([entry(id)], () => stored.push([id, journal.lastSequence]))
    }
  }
  return { log, journal, fences, stored, write }
}

describe('group commit', () => {
  test('stores what is written together as one block, in order, each callback once', async () => {
    const { log, journal, stored, write } = scripted()
    write(3)
    await journal.settled()
    expect(log.blocks()).toEqual([{ number: 1, entries: [entry(1), entry(2), entry(3)] }])
    expect(stored).toEqual([1, 2, 3].map((id) => [id, log.stored[0]?.sequence]))
    expect(journal.stored).toBe(3)
  })

  test('tells nobody of what was stored after it was ended', async () => {
    const { journal } = scripted()
    const told: number[] = []
    const numbers = [1, 2].map((id) =>
      journal.write([entry(id)], () => {
        told.push(id)
        journal.end(new TroupeError('TROUPE_FENCED', 'the test ends it'))
      }),
    )
    await expect(journal.settled()).rejects.toMatchObject({ code: 'TROUPE_FENCED' })
    expect([numbers, told, journal.stored]).toEqual([[1, 2], [1], 1])
  })

  test('stores what is written while a block is in flight as the next one', async () => {
    const { log, journal, stored, write } = scripted()
    const gate = Promise.withResolvers<void>()
    log.gate = gate.promise
    write()
    await until(() => log.attempts.length === 1, 'the first block is under way')
    let isSettled = false
    const settling = journal.settled().then(() => {
      isSettled = true
    })
    // Until the next turn of the event loop nothing has been stored.
    await new Promise((resolve) => setImmediate(resolve))
    expect(isSettled).toBe(false)
    for (let i = 0; i < 50; i++) write()
    expect(log.attempts.length).toBe(1)
    expect([...journal.unstored()]).toEqual(Array.from({ length: 51 }, (_, i) => entry(i + 1)))
    gate.resolve()
    await settling
    expect([...journal.unstored()]).toEqual([])
    expect(log.blocks().map(({ number, entries }) => [number, entries.length])).toEqual([
      [1, 1],
      [2, 50],
    ])
    expect(stored.map(([id]) => id)).toEqual(Array.from({ length: 51 }, (_, i) => i + 1))
    expect(log.attempts[1]?.expected).toBe(log.stored[0]?.sequence)
    expect(journal.lastSequence).toBe(log.stored[1]?.sequence)
  })

  test('puts no two signals for one task into one block, for a task knows them by their blocks', async () => {
    const { log, journal } = scripted()
    const signal = (to: string, id: string): JournalEntry => [kind.signalled, 'from', 1, to, id, null]
    journal.write([entry(1), signal('a', '1')])
    journal.write([signal('b', '1')])
    journal.write([signal('a', '2')])
    journal.write([signal('b', '2')])
    await journal.settled()
    expect(log.blocks().map(({ entries }) => entries.length)).toEqual([3, 2])
  })

  test('splits what does not fit into one block, and never a single write', async () => {
    const { log, journal } = scripted()
    const large = (size: number): JournalEntry => [kind.completed, 't', 1, new Uint8Array(size)]
    journal.write([large(300_000), large(100_000)])
    journal.write([large(200_000)])
    journal.write(Array.from({ length: 4_000 }, () => [kind.alive] as const))
    journal.write(Array.from({ length: 4_000 }, () => [kind.alive] as const))
    await journal.settled()
    expect(log.blocks().map(({ entries }) => entries.length)).toEqual([2, 4_001 - 4_000 + 4_000, 4_000])
    const many = scripted()
    const written = Array.from({ length: 9 }, (_, id) => entry(id))
    for (const one of written) many.journal.write([one, large(200_000)])
    await many.journal.settled()
    const blocks = many.log.blocks().map(({ entries }) => entries.filter((one) => one?.[0] === kind.accepted))
    expect(blocks.flat()).toEqual(written)
    expect(blocks.length).toBeGreaterThan(2)
    const tooMany = Array.from({ length: limits.blockEntriesMax + 1 }, () => [kind.alive] as const)
    expect(() => journal.write(tooMany)).toThrow(expect.objectContaining({ code: 'TROUPE_TOO_LARGE' }))
  })
})

describe('a block in doubt', () => {
  test.each<[string, Step[]]>([
    ['no answer came', ['lost', 'lost']],
    ['the stream has no leader for a while', ['no-responders', 'no-responders', 'no-responders']],
    ['the log is full for a while', ['full', 'full']],
    ['the server left it open', [10158, 10164, 10077]],
  ])('is sent again, the same bytes with the same expectation, when %s', async (_, script) => {
    const { log, journal, fences, stored, write } = scripted('ok', ...script)
    write()
    await journal.settled()
    write(2)
    await journal.settled()
    const again = log.attempts.slice(1)
    expect(again.length).toBe(script.length + 1)
    for (const attempt of again) expect(attempt).toEqual(again[0])
    expect(again[0]?.expected).toBe(log.stored[0]?.sequence)
    expect(log.blocks().map(({ number }) => number)).toEqual([1, 2])
    expect(stored.length).toBe(3)
    expect(fences).toEqual([])
  })

  test('is stored when the journal’s last block has its number, and writing goes on from there', async () => {
    const { log, journal, fences, stored, write } = scripted('ok', 'lost-ack')
    write()
    await journal.settled()
    write()
    await journal.settled()
    write()
    await journal.settled()
    expect(log.blocks().map(({ number }) => number)).toEqual([1, 2, 3])
    expect(stored).toEqual(log.stored.map(({ sequence }, i) => [i + 1, sequence]))
    expect(fences).toEqual([])
  })

  test('is asked about until the leader answers', async () => {
    const { log, journal, stored, write } = scripted('lost-ack')
    log.lastFailures.push(
      new TroupeError('TROUPE_NO_ANSWER', 'election'),
      new TroupeError('TROUPE_NO_ANSWER', 'election'),
    )
    write()
    await journal.settled()
    expect(stored).toEqual([[1, log.stored[0]?.sequence]])
    expect(log.blocks().length).toBe(1)
  })
})

describe('a journal that is over', () => {
  async function over(test: ReturnType<typeof scripted>, code = 'TROUPE_FENCED') {
    const { journal, fences, stored, write, log } = test
    const before = stored.length
    write(2)
    await expect(journal.settled()).rejects.toMatchObject({ code })
    expect(fences.length).toBe(1)
    expect(stored.length).toBe(before)
    const { length } = log.attempts
    const kept = [...journal.unstored()].length
    write()
    await expect(journal.settled()).rejects.toThrow()
    expect(log.attempts.length).toBe(length)
    expect(fences.length).toBe(1)
    expect([...journal.unstored()].length).toBe(kept)
  }

  test('was fenced: nothing is adopted, nothing more is sent, and it is said once', async () => {
    const it = scripted()
    it.write()
    await it.journal.settled()
    it.log.fence()
    await over(it)
    expect(it.fences[0]).toMatchObject({ code: 'TROUPE_FENCED' })
    expect(it.log.blocks().map(({ number }) => number)).toEqual([1, 0])
  })

  test('was fenced on top of a block whose acknowledgement was lost', async () => {
    const it = scripted('lost-ack')
    const { append } = it.log
    it.log.append = async (subject, data, options) => {
      const result = await append.call(it.log, subject, data, options)
      if (it.log.attempts.length === 1) it.log.fence()
      return result
    }
    await over(it)
    expect(it.log.blocks().map(({ number }) => number)).toEqual([1, 0])
  })

  test('was fenced before its first block', async () => {
    const it = scripted()
    it.log.fence()
    await over(it)
  })

  test('has lost its last block to a purge: it does not try for ever', async () => {
    const it = scripted()
    it.write()
    await it.journal.settled()
    it.log.stored.length = 0
    await over(it)
  })

  test('has an unreadable block on top, or another’s', async () => {
    for (const data of [new Uint8Array([0xc1]), packBlock([formatVersion, 77, []])]) {
      const it = scripted()
      it.write()
      await it.journal.settled()
      it.log.put('journal', data)
      await over(it)
    }
  })

  test.each<[Step, string]>([
    ['too-large', 'TROUPE_FENCED'],
    ['throws', 'TROUPE_INTERNAL'],
  ])('could not be written on (%s): no rejection escapes', async (step, code) => {
    await over(scripted(step), code)
  })

  test('cannot be packed', async () => {
    const it = scripted()
    it.journal.write([[kind.completed, 't', 1, (() => 0) as never]])
    await over(it, 'TROUPE_NOT_SERIALIZABLE')
  })

  test('was ended by its owner: a late acknowledgement is told to nobody', async () => {
    const { log, journal, fences, stored, write } = scripted()
    const gate = Promise.withResolvers<void>()
    log.gate = gate.promise
    write()
    await until(() => log.attempts.length === 1, 'the block is under way')
    journal.end(new TroupeError('TROUPE_CLOSED', 'leaving'))
    gate.resolve()
    await expect(journal.settled()).rejects.toMatchObject({ code: 'TROUPE_CLOSED' })
    await until(() => log.stored.length === 1, 'it was stored all the same')
    expect([stored, fences]).toEqual([[], []])
  })
})

describe('on a server', () => {
  const server = useServer()

  test('blocks follow one another, and a fence by another writer ends them', async () => {
    await using opened = await openTest(server, freshNamespace())
    const subject = opened.subjects.journal(0, 'a', 'a1')
    const fences: TroupeError[] = []
    const journal = new Journal({ log: opened.log, subject, onFenced: (error) => fences.push(error) })
    const sequences: number[] = []
    for (let i = 0; i < 20; i++) {
      journal.write([entry(i)], () => sequences.push(journal.lastSequence))
      await journal.settled()
    }
    expect(sequences).toEqual(Array.from({ length: 20 }, (_, i) => i + 1))
    const fence = packBlock([formatVersion, 0, [[kind.fenced, 'silent']]])
    await opened.log.append(subject, fence)
    journal.write([entry(99)], () => sequences.push(journal.lastSequence))
    await expect(journal.settled()).rejects.toMatchObject({ code: 'TROUPE_FENCED' })
    expect(fences.length).toBe(1)
    expect(sequences.length).toBe(20)
    expect((await opened.log.info()).lastSequence).toBe(21)
  })

  test('what is written while the server is away is stored once it is back, once and in order', async () => {
    await using opened = await openTest(server, freshNamespace())
    const subject = opened.subjects.journal(0, 'a', 'a1')
    const fences: TroupeError[] = []
    const journal = new Journal({ log: opened.log, subject, onFenced: (error) => fences.push(error), timeoutMs: 300 })
    let stored = 0
    const write = (id: number) => journal.write([entry(id)], () => stored++)
    for (let id = 0; id < 200; id++) write(id)
    await server.kill()
    for (let id = 200; id < 400; id++) write(id)
    await server.restart()
    await journal.settled()
    expect(fences).toEqual([])
    expect(stored).toBe(400)
    const messages = await opened.log.getRange(1, 1_000, 10_000_000)
    const log = new ScriptedLog()
    for (const { data } of messages) log.put(subject, data)
    expect(log.blocks().map(({ number }) => number)).toEqual(messages.map((_, i) => i + 1))
    expect(log.blocks().flatMap(({ entries }) => entries)).toEqual(Array.from({ length: 400 }, (_, id) => entry(id)))
  })
})
