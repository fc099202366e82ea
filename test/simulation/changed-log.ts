import type { Log } from '../../src/nats/bus.ts'

/** The log with some of its operations replaced. */
export function changedLog(log: Log, changes: Partial<Log>): Log {
  return {
    append: (subject, data, options) => log.append(subject, data, options),
    read: (options) => log.read(options),
    get: (sequence) => log.get(sequence),
    getRange: (sequence, messagesMax, bytesMax) => log.getRange(sequence, messagesMax, bytesMax),
    lastOf: (subject) => log.lastOf(subject),
    info: () => log.info(),
    trim: (sequence) => log.trim(sequence),
    setDoor: (open) => log.setDoor(open),
    takeReserve: () => log.takeReserve(),
    ...changes,
  }
}
