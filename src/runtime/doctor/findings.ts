/** What a check found, and judgements that need no server: pure functions of facts. */
import type { StreamFacts } from '../../nats/server-info.ts'

export interface Finding {
  readonly check: string
  /** Which one it is about, where the namespace has several. */
  readonly partition?: number
  readonly status: 'ok' | 'warn' | 'fail'
  readonly message: string
  /** What to do, unless all is well. */
  readonly next?: string
}

/** How soon the server writes to its disk for good; undefined when it could not be read. */
export interface SyncSetting {
  readonly always: boolean
  readonly intervalMs: number
}

/** Which faults acknowledged work survives. */
export function judgeDurability(log: StreamFacts, sync: SyncSetting | undefined): Finding {
  const check = 'durability'
  const copies = `${log.replicas} ${log.replicas === 1 ? 'copy' : 'copies'}`
  const synced =
    sync === undefined
      ? 'sync_interval unknown'
      : sync.always
        ? 'sync_interval: always'
        : `sync_interval: ${sync.intervalMs / 1_000} s`
  if (log.storage !== 'file') {
    return {
      check,
      status: 'warn',
      message: `the log is in memory (${copies}): it ends with the server`,
      next: 'Use file storage for anything that matters.',
    }
  }
  if (log.replicas >= 3 && sync?.always) {
    return { check, status: 'ok', message: `holds for process faults and machine loss (${copies}, ${synced})` }
  }
  const lost =
    log.replicas >= 3
      ? `a power failure of several machines at once can lose the last ${sync === undefined ? 'seconds' : `${sync.intervalMs / 1_000} s`}`
      : 'the loss of the machine or its disk loses the log'
  const next =
    sync === undefined && log.replicas >= 3
      ? "Give --monitoring URL to read the server's sync_interval."
      : 'For machine loss: three servers, `troupe start --replicas 3`, and sync_interval: always in the server.'
  return { check, status: 'ok', message: `holds for process faults (${copies}, ${synced}); ${lost}`, next }
}

/** Whether the streams are as Troupe makes them. */
export function judgeStream(
  facts: StreamFacts,
  wanted: { readonly subjects: readonly string[]; readonly door: readonly string[] },
): Finding[] {
  const check = `stream ${facts.name}`
  const wrong: string[] = []
  if (facts.retention !== 'limits') wrong.push(`retention is ${facts.retention}, not limits`)
  if (facts.discard !== 'new') wrong.push(`discard is ${facts.discard}, not new: old entries would be lost`)
  if (facts.maxAgeNs !== 0) wrong.push('it has an age limit: entries of live tasks would be lost')
  if (facts.dedupeWindowMs < 60_000) wrong.push(`its dedupe window is ${facts.dedupeWindowMs} ms, below 60 s`)
  const missing = wanted.subjects.filter((subject) => !facts.subjects.includes(subject))
  if (missing.length > 0) wrong.push(`it does not capture ${missing.join(', ')}`)
  if (wrong.length > 0) {
    return [
      {
        check,
        status: 'fail',
        message: wrong.join('; '),
        next: 'Was it made by hand? Restore what Troupe made; see docs/operations.md.',
      },
    ]
  }
  const findings: Finding[] = [
    { check, status: 'ok', message: `${facts.replicas} × ${facts.storage}, leader ${facts.leader ?? 'this server'}` },
  ]
  if (facts.behind.length > 0) {
    findings.push({
      check,
      status: 'warn',
      message: `replicas behind or offline: ${facts.behind.join(', ')}`,
      next: 'Look at those servers.',
    })
  }
  if (wanted.door.some((subject) => !facts.subjects.includes(subject))) {
    findings.push({
      check,
      status: 'warn',
      message: 'the door is closed: no new work is taken until the log has shrunk',
      next: 'Add nodes, or give the log more room: troupe install --log-size 32GiB.',
    })
  }
  return findings
}

/** How full the log is. */
export function judgeFill(facts: StreamFacts, shown: (bytes: number) => string): Finding {
  const check = 'log size'
  if (facts.bytesMax <= 0)
    return {
      check,
      status: 'warn',
      message: `${shown(facts.bytes)}, without a limit`,
      next: 'Give the log a size, so that it cannot fill the disk: nats stream edit <log> --max-bytes 8G.',
    }
  const share = facts.bytes / facts.bytesMax
  const message = `${shown(facts.bytes)} of ${shown(facts.bytesMax)} (${Math.round(share * 100)} %)`
  if (share < 0.6) return { check, status: 'ok', message }
  return {
    check,
    status: 'warn',
    message: `${message}; at 80 % new work is refused`,
    next: 'Add nodes, remove dead letters, or give the log more room: troupe install --log-size 32GiB.',
  }
}

/** How full the store of large values is; undefined as long as that is of no concern. */
export function judgeObjects(facts: StreamFacts, shown: (bytes: number) => string): Finding | undefined {
  if (facts.bytesMax <= 0 || facts.bytes < facts.bytesMax * 0.8) return undefined
  return {
    check: 'large values',
    status: 'warn',
    message: `${shown(facts.bytes)} of ${shown(facts.bytesMax)} (${Math.round((facts.bytes / facts.bytesMax) * 100)} %); new work is refused`,
    next: `Raise max_bytes of ${facts.name}, or let tasks end sooner; see docs/operations.md.`,
  }
}

/** A ledger that has not been saved for so long is not saved any more; it is due each minute or two. */
const unsavedMsMax = 10 * 60_000

/** How far the newest saved ledger is behind the log, by the times at which the server stored them. */
export function judgeCheckpoints(log: StreamFacts, checkpoints: StreamFacts): Finding {
  const check = 'checkpoints'
  if (log.lastTimeMs === 0) return { check, status: 'ok', message: 'there is nothing to save yet' }
  const lagMs = log.lastTimeMs - (checkpoints.lastTimeMs || log.firstTimeMs)
  const lag = `${Math.ceil(Math.max(0, lagMs) / 1_000)} s behind the log`
  const message = checkpoints.lastTimeMs === 0 ? `none yet, ${lag}` : `the newest is ${lag}`
  if (lagMs < unsavedMsMax) return { check, status: 'ok', message }
  const next =
    'Is a scheduler running, and what does it log? Until one is saved the log is not trimmed, and starting reads it all.'
  return { check, status: 'warn', message, next }
}

/** `count` tasks have failed and are kept. */
export function judgeDeadLetters(count: number): Finding {
  const check = 'dead letters'
  if (count === 0) return { check, status: 'ok', message: 'none' }
  const next = 'Look at them: `troupe dead ls`; then `troupe dead retry` or `troupe dead rm`.'
  return { check, status: 'warn', message: `${count} failed and ${count === 1 ? 'waits' : 'wait'} for somebody`, next }
}

/** The finding as one about this partition, where there are several. */
export function inPartition(found: Finding, { partition, partitions }: PartitionPlace): Finding {
  if (partitions === 1) return found
  const { check, status, message, ...rest } = found
  return { check, status, partition, message: `partition ${partition}: ${message}`, ...rest }
}

export interface PartitionPlace {
  readonly partition: number
  /** Of the namespace. */
  readonly partitions: number
}

/** `offsetMs`: this machine's clock minus the server's, known to ± `errorMs`. */
export function judgeClock(offsetMs: number, errorMs: number): Finding {
  const check = 'clock'
  const message = `${Math.abs(Math.round(offsetMs))} ms ${offsetMs < 0 ? 'behind' : 'ahead of'} the server (± ${Math.ceil(errorMs)} ms)`
  if (Math.abs(offsetMs) - errorMs < 1_000) return { check, status: 'ok', message }
  return {
    check,
    status: 'warn',
    message,
    next: "Run a time service (NTP): deadlines are given in this clock, and kept in the server's.",
  }
}
