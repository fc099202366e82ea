/** Notes when a process reads from and writes to its sockets, for `timeline.ts`: loaded before everything else there. */
import { Socket } from 'node:net'
import { isMainThread } from 'node:worker_threads'

/** Reads and writes in order: instants on the machine's own clock in µs, and the first subject of what was written. */
export interface WireEvent {
  readonly atUs: number
  readonly way: 'read' | 'write'
  readonly bytes: number
  readonly subject: string
}

const eventsMax = 100_000
export const wireEvents: WireEvent[] = []

export function clockUs(): number {
  return Number(process.hrtime.bigint()) / 1_000
}

function note(way: WireEvent['way'], data: unknown, atUs: number): void {
  if (!(data instanceof Uint8Array) || wireEvents.length >= eventsMax) return
  const line = Buffer.from(data.buffer, data.byteOffset, Math.min(data.length, 200)).toString('latin1')
  const subject = /^H?(?:PUB|MSG) (\S+)/.exec(line)?.[1] ?? ''
  wireEvents.push({ atUs, way, bytes: data.length, subject })
}

if (isMainThread) {
  const { write, emit } = Socket.prototype
  Socket.prototype.write = function (this: Socket, ...args: unknown[]) {
    const atUs = clockUs()
    const isWritten = Reflect.apply(write, this, args)
    note('write', args[0], atUs)
    return isWritten
  } as typeof write
  Socket.prototype.emit = function (this: Socket, ...args: unknown[]) {
    const atUs = clockUs()
    const isHeard = Reflect.apply(emit, this, args)
    if (args[0] === 'data') note('read', args[1], atUs)
    return isHeard
  } as typeof emit
}
