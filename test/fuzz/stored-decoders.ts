/** What tasks and requests bring along: snapshots of functions and machines, signals, names, and bodies of requests. */
import { limitsComplaint } from '../../src/protocol/entry-check.ts'
import { TroupeError } from '../../src/protocol/errors.ts'
import { parseJson } from '../../src/protocol/json.ts'
import { checkTaskId, isName } from '../../src/protocol/names.ts'
import { durationMs, integerBetween } from '../../src/protocol/options.ts'
import { packValue } from '../../src/protocol/payload.ts'
import { signalComplaint } from '../../src/protocol/signal.ts'
import { checkReplyTo } from '../../src/protocol/submission.ts'
import { CallJournal } from '../../src/runtime/tasks/call-journal.ts'
import { packMachineSnapshot, unpackMachineSnapshot } from '../../src/runtime/tasks/machine-snapshot.ts'
import type { Decoder } from './decoders.ts'

const text = new TextDecoder()
const bytesOf = (value: unknown) => new TextEncoder().encode(JSON.stringify(value))

function mayThrowOurs(run: () => unknown): void {
  try {
    run()
  } catch (error) {
    if (!(error instanceof TroupeError)) throw error
  }
}

function functionSnapshot(): Uint8Array {
  return packValue({
    format: 1,
    kind: 'function',
    version: '2',
    calls: [
      ['step:a', 1, 0, 0, packValue({ n: 1 }), 0, 1, 0, 0],
      ['sleep#1', 0, 1, -1, null, 1_700_000_000_000, 1, 0, 0],
      ['map#1', 2, 1, 1, packValue({ code: 'X', message: 'm' }), 0, 1, 1, 3],
    ],
    era: 2,
    checkpoint: packValue([1, 2, 3]),
    children: 3,
    consumed: 17,
    inbox: [[18, packValue({ type: 'GO' })]],
  })!
}

function machineSnapshot(): Uint8Array {
  return packMachineSnapshot({
    format: 1,
    kind: 'machine',
    machine: 'light',
    xstate: '5.33.3',
    snapshot: packValue({ status: 'active', value: 'red', context: { seen: 0 }, children: {} })!,
    timers: [],
    nextTimerId: 1,
    nextActorId: 1,
    consumed: 0,
    ignored: 0,
  })
}

export function storedDecoders(): Decoder[] {
  return [
    {
      name: 'the snapshot of a function',
      sources: [functionSnapshot()],
      decode: (bytes) => mayThrowOurs(() => CallJournal.unpack(bytes, 1)),
    },
    {
      name: 'the snapshot of a machine',
      sources: [machineSnapshot()],
      decode: (bytes) => mayThrowOurs(() => unpackMachineSnapshot(bytes)),
    },
    {
      name: 'a signal',
      sources: [bytesOf({ type: 'GO', with: [1, { a: null }] }), packValue({ type: 'GO', at: new Date(5) })!],
      decode(data) {
        const headers = new Map([['content-type', data.length % 2 === 0 ? 'application/msgpack' : '']])
        signalComplaint({ subject: 's', sequence: 1, timestampMs: 1, data, headers })
      },
    },
    {
      name: 'the body of a request',
      sources: [
        bytesOf({ limit: 100, status: 'ready', type: 'a', after: 'x' }),
        bytesOf({ type: 'a', limits: { concurrency: 3, rate: 5, perMs: 1_000, paused: true } }),
      ],
      decode: (bytes) => mayThrowOurs(() => limitsComplaint(parseJson(bytes))),
    },
    {
      name: 'a name, a duration, a number, a reply subject',
      sources: ['order-17', '1500ms', '10s', '0-17-3', '9', '_INBOX.a.b'].map((word) => new TextEncoder().encode(word)),
      decode(bytes) {
        const word = text.decode(bytes)
        isName(word)
        mayThrowOurs(() => checkTaskId(word))
        mayThrowOurs(() => durationMs('delay', word))
        mayThrowOurs(() => integerBetween('priority', word, 0, 9))
        mayThrowOurs(() => checkReplyTo('reply', word))
      },
    },
  ]
}
